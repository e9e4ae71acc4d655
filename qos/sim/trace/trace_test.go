package trace

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/sim"
)

// small is a trace of two machines, three containers and two jobs, as text.
func small() map[string]string {
	return map[string]string{
		"machine_meta":  "m_1,0,1,r1,96,100,USING\nm_1,5,1,r1,96,100,USING\nm_2,0,1,r1,64,50.5,USING\n",
		"machine_usage": "m_1,0,10,20,,,,,\nm_1,60,30,-1,1.5,2,0.1,0.2,101\nm_2,0,101,40,,,,,-1\nm_9,0,99,99,,,,,\n",
		"container_meta": "c_1,m_1,0,app_1,started,400,800,3.2\nc_2,m_2,0,app_1,started,800,-1,1.5\nc_3,m_1,0,app_2,stopped,200,200,\n" +
			"c_1,m_2,70,app_1,started,400,800,3.2\nc_4,m_7,0,app_2,started,200,200,1\nc_5,m_1,0,app_2,started,0,0,1\nc_6,m_2,0,app_2,started,100,100,1\n",
		"container_usage": "c_1,m_1,0,10,50,,,,,,\nc_1,m_1,10,20,50,1.1,0.5,3,0.1,0.1,2\nc_1,m_1,60,30,60,,,,,,\nc_1,m_1,119.6,101,-1,,,,,,\n" +
			"c_2,m_2,120,7,,,,,,,\nc_3,m_1,60,40,10,,,,,,101\nc_99,m_1,0,1,1,,,,,,\n",
		"batch_task": "M1,2,j_1,1,Terminated,30,90,100,0.5\nR2_1,3,j_1,1,Terminated,95,130,50,0.25\nJ3_1_2_9,1,j_1,1,Running,130,0,100,0.5\n" +
			"task_aGVsbG8=,4,j_2,2,Terminated,10,20,,\nM1,1,j_3,1,Waiting,,,100,0.5\nM1,1,j_4,1,Terminated,9999,10000,100,0.5\n",
		"batch_instance": "i1,M1,j_1,1,Terminated,30,60,m_1,1,1,80,120,0.1,0.4\ni2,M1,j_1,1,Terminated,30,90,m_2,1,1,110,150,0.1,0.3\n" +
			"i3,R2_1,j_1,1,Failed,95,,m_2,1,1,,,,\ni4,M1,j_77,1,Terminated,30,90,m_2,1,1,110,150,0.1,0.3\n",
	}
}

func put(t testing.TB, tables map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tables {
		if err := os.WriteFile(filepath.Join(dir, name+".csv"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadTakesWhatItSays(t *testing.T) {
	f, sum, err := Read(context.Background(), Options{Dir: put(t, small()), Hours: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	if want := []sim.Machine{{ID: "m_1", CPUs: 96, Memory: 100}, {ID: "m_2", CPUs: 64, Memory: 50.5}}; !reflect.DeepEqual(f.Machines, want) {
		t.Errorf("machines %+v", f.Machines)
	}
	want := []sim.Service{
		// 0 s: mean of 10 and 20; 60 s; 120 s: 101 is missing, so the last again.
		{ID: "c_1", App: "app_1", Request: 4, Limit: 8, Memory: 3.2, CPU: []uint16{1500, 3000, 3000, 3000}, Mem: []uint16{5000, 6000, 6000, 6000}},
		{ID: "c_3", App: "app_2", Request: 2, Limit: 2, CPU: []uint16{4000, 4000, 4000, 4000}, Mem: []uint16{1000, 1000, 1000, 1000}},
		{ID: "c_2", App: "app_1", Machine: 1, Request: 8, Memory: 1.5, CPU: []uint16{700, 700, 700, 700}, Mem: []uint16{10000, 10000, 10000, 10000}},
	}
	if !reflect.DeepEqual(f.Services, want) {
		t.Errorf("services\n%+v\nwant\n%+v", f.Services, want)
	}
	if len(f.Jobs) != 2 || f.Jobs[0].Name != "j_2" || f.Jobs[1].Name != "j_1" {
		t.Errorf("jobs %+v", f.Jobs)
	}
	tasks := []sim.Task{
		{Job: 0, Instances: 4, Start: 10, Seconds: 10, CPU: 1},
		{Job: 1, Instances: 2, Start: 30, Seconds: 45, CPU: 1, Memory: 0.4},
		{Job: 1, Instances: 3, Start: 95, Seconds: 35, CPU: 0.5, Memory: 0.25, Deps: []int32{1}},
	}
	if !reflect.DeepEqual(f.Tasks, tasks) {
		t.Errorf("tasks\n%+v\nwant\n%+v", f.Tasks, tasks)
	}
	said := Summary{
		Rows: map[string]int{"machine_meta": 3, "machine_usage": 4, "container_meta": 7, "container_usage": 7, "batch_task": 6, "batch_instance": 4},
		CPU:  0.2, Memory: 0.3, Moved: 1, WithoutUse: 1, WithoutRequest: 1, WithoutDuration: 1, WithoutDemand: 1, MissingDeps: 1, OtherMachines: 1, InstancesMatched: 2,
	}
	sum.Memory = float64(int(sum.Memory*1e9+0.5)) / 1e9
	if !reflect.DeepEqual(*sum, said) {
		t.Errorf("summary\n%+v\nwant\n%+v", *sum, said)
	}
}

func TestReadAnotherTime(t *testing.T) {
	f, _, err := Read(context.Background(), Options{Dir: put(t, small()), From: 60, Hours: 0.02, Sample: 30, Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Machines) != 1 || len(f.Services) != 2 || f.Services[0].CPU[0] != 3000 || f.Seconds != 60 {
		t.Errorf("%+v", f)
	}
	if len(f.Tasks) != 1 || f.Tasks[0].Start != 35 || f.Tasks[0].Deps != nil {
		t.Errorf("tasks %+v", f.Tasks)
	}
}

// A time behind the trace is refused, and said how long that is.
func TestBeginBehindTheEnd(t *testing.T) {
	for name, tables := range map[string]map[string]string{"of all tables": small(), "of usage alone": {
		"machine_meta": small()["machine_meta"], "container_meta": small()["container_meta"], "container_usage": small()["container_usage"],
	}} {
		end := 9999 // j_4's start
		if len(tables) == 3 {
			end = 120
		}
		dir := put(t, tables)
		_, _, err := Read(context.Background(), Options{Dir: dir, From: end + 1, Hours: 1})
		var e *EndError
		if !errors.As(err, &e) || e.End != time.Duration(end)*time.Second || !strings.Contains(err.Error(), "the trace is "+e.End.String()+" long") {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := Read(context.Background(), Options{Dir: dir, From: end, Hours: 1}); err != nil {
			t.Errorf("%s, at the end: %v", name, err)
		}
	}
	// Nothing in it but machines: its beginning is no time behind it.
	if _, _, err := Read(context.Background(), Options{Dir: put(t, map[string]string{
		"machine_meta": small()["machine_meta"], "container_meta": "", "container_usage": "",
	})}); err != nil {
		t.Error(err)
	}
}

// Each bad row, and what is said of it.
func TestBadRowsAreRefusedByLine(t *testing.T) {
	for _, c := range []struct{ table, row, want string }{
		{"machine_meta", "m_3,0,1,r1,96,100", "machine_meta.csv:4: 6 fields, want the 7 of machine_meta: machine_id, time_stamp, failure_domain_1, failure_domain_2, cpu_num, mem_size, status"},
		{"machine_meta", "m_3,0,1,r1,96,100,USING,x", "machine_meta.csv:4: more than 7 fields, want the 7 of"},
		{"machine_meta", ",0,1,r1,96,100,USING", `machine_meta.csv:4: machine_id "": want a name`},
		{"machine_meta", "m_3,0,1,r1,none,100,USING", `machine_meta.csv:4: cpu_num "none": want a number from 0, or -1 or nothing`},
		{"machine_meta", "m_3,0,1,r1,,100,USING", `machine_meta.csv:4: cpu_num "": want the number of CPUs, above 0`},
		{"machine_meta", "m_3,0,1,r1,96,101,USING", `machine_meta.csv:4: mem_size "101": want the memory, above 0`},
		{"machine_meta", "m_3,-5,1,r1,96,100,USING", `machine_meta.csv:4: time_stamp "-5": want a number from 0`},
		{"machine_usage", "m_1,0,130,20,,,,,", `machine_usage.csv:5: cpu_util_percent "130": want a number from 0 to 100, or -1, 101 or nothing`},
		{"machine_usage", "m_1,0,NaN,20,,,,,", `machine_usage.csv:5: cpu_util_percent "NaN"`},
		{"machine_usage", "m_1,0,1e400,20,,,,,", `machine_usage.csv:5: cpu_util_percent "1e400"`},
		{"machine_usage", "", "machine_usage.csv:5: 1 fields, want the 9"},
		{"container_meta", "c_7,m_1,0,app\x00,started,1,1,1", `container_meta.csv:8: app_du "app\x00": want text`},
		{"container_meta", "\"c_7\",m_1,0,app,started,1,1,1", `container_meta.csv:8: container_id "\"c_7\"": want a name`},
		{"container_usage", "c_1,m_1,60,700,60,,,,,,", `container_usage.csv:8: cpu_util_percent "700": want at most 600 % of the request`},
		{"container_usage", "c_1,m_1,60,-2,60,,,,,,", `container_usage.csv:8: cpu_util_percent "-2": want`},
		{"batch_task", "M1,x,j_9,1,Terminated,30,90,100,0.5", `batch_task.csv:7: instance_num "x": want an integer from 0`},
		{"batch_task", "M1,2,j_9,1,Terminated,30.5,90,100,0.5", `batch_task.csv:7: start_time "30.5": want seconds as an integer from 0`},
		{"batch_task", "M1,2,j_9,1,Terminated,30,20,100,0.5", `batch_task.csv:7: end_time "20": want the end at or after the start 30, or 0`},
		{"batch_task", "M1,2,j_1,1,Terminated,30,90,100,0.5", `batch_task.csv:7: task_name "M1": want a name that its job has only once`},
		{"batch_task", "M1_2,2,j_9,1,T,30,90,100,0.5\nM2_1,2,j_9,1,T,30,90,100,0.5", "batch_task.csv:7: job j_9 with tasks that wait for each other in a circle"},
		{"batch_instance", "i5,M1,j_1,1,T,90,30,m_1,1,1,1,1,1,1", `batch_instance.csv:5: end_time "30": want the end`},
		{"batch_instance", strings.Repeat("x", longest), "batch_instance.csv:5: a row of more than 64 KiB"},
	} {
		tables := small()
		tables[c.table] += c.row + "\n"
		_, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 1})
		var row *RowError
		if !errors.As(err, &row) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want %q", c.row, err, c.want)
		}
	}
}

// Line ends of other systems, and none at the end of the file, are no mistakes.
func TestLineEnds(t *testing.T) {
	tables := small()
	for name, text := range tables {
		tables[name] = strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n")
	}
	a, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	b, _, _ := Read(context.Background(), Options{Dir: put(t, small()), Hours: 0.05})
	if !reflect.DeepEqual(a, b) {
		t.Error("line ends make another fleet")
	}
}

func TestBatchTablesMayBeMissing(t *testing.T) {
	tables := small()
	delete(tables, "batch_task")
	delete(tables, "machine_usage")
	if f, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 0.05}); err != nil || len(f.Tasks) != 0 {
		t.Errorf("%v, %v", f, err)
	}
	delete(tables, "container_usage")
	_, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 0.05})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "container_usage.csv, .csv.gz or .tar.gz") {
		t.Errorf("error %v", err)
	}
}

func TestGraphOfNames(t *testing.T) {
	for name, want := range map[string]struct {
		number int32
		deps   []int32
	}{
		"M1": {1, nil}, "R4_2": {4, []int32{2}}, "M5_3_4": {5, []int32{3, 4}}, "J12_7_11_Stg3": {12, []int32{7, 11}},
		"task_Nzg3ODAw": {}, "MergeTask": {}, "": {}, "7": {}, "M0": {}, "M-1": {}, "M2_2": {2, nil}, "M3_1_1": {3, []int32{1}}, "M99999999999": {},
		"M2_Stg1_1": {2, nil},
	} {
		if n, deps := graph(name); n != want.number || !slices.Equal(deps, want.deps) {
			t.Errorf("%q: task %d waits for %v", name, n, deps)
		}
	}
}

// Tasks that come before those they wait for.
func TestTasksInAnyOrder(t *testing.T) {
	tables := small()
	tables["batch_task"] = "M3_2,1,j,1,T,5,9,100,1\nM2_1,1,j,1,T,5,9,100,1\nM1,1,j,1,T,5,9,100,1\n"
	f, _, err := Read(context.Background(), Options{Dir: put(t, tables), Hours: 0.05})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(); err != nil || len(f.Tasks) != 3 || f.Tasks[0].Deps != nil || !slices.Equal(f.Tasks[2].Deps, []int32{1}) {
		t.Errorf("tasks %+v, %v", f.Tasks, err)
	}
}

// What Write wrote is read back as the same fleet and gives the same report.
func TestRoundTrip(t *testing.T) {
	f, err := sim.Generate(sim.Shape{Seed: 4, Nodes: 6, Hours: 2})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Write(context.Background(), f, dir); err != nil {
		t.Fatal(err)
	}
	want := simulate(t, f)
	for _, pack := range []func(testing.TB, string){func(testing.TB, string) {}, gzipAll, tarAll} {
		pack(t, dir)
		back, sum, err := Read(context.Background(), Options{Dir: dir, Hours: 2})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(f.Machines, back.Machines) || !reflect.DeepEqual(f.Services, back.Services) ||
			!reflect.DeepEqual(f.Tasks, back.Tasks) || !reflect.DeepEqual(f.Jobs, back.Jobs) {
			t.Fatal("another fleet was read back")
		}
		if simulate(t, back) != want {
			t.Error("the fleet read back gives another report")
		}
		if sum.Moved+sum.WithoutUse+sum.WithoutDuration+sum.MissingDeps+sum.WithoutDemand > 0 || sum.CPU < 0.1 {
			t.Errorf("summary %+v", sum)
		}
	}
}

func simulate(t testing.TB, f *sim.Fleet) string {
	t.Helper()
	r, err := sim.Run(context.Background(), f, sim.Options{Policies: []sim.Contender{{Name: "p", Policy: qos.DefaultPolicy()}}, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// gzipAll replaces each table by its gzipped form.
func gzipAll(t testing.TB, dir string) {
	repack(t, dir, ".csv", ".csv.gz", func(w io.Writer, _ string, b []byte) error {
		_, err := w.Write(b)
		return err
	})
}

// tarAll replaces the gzipped tables by archives.
func tarAll(t testing.TB, dir string) {
	repack(t, dir, ".csv.gz", ".tar.gz", func(w io.Writer, name string, b []byte) error {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return err
		}
		if b, err = io.ReadAll(z); err != nil {
			return err
		}
		a := tar.NewWriter(w)
		if err := a.WriteHeader(&tar.Header{Name: "data/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
			return err
		}
		if err := a.WriteHeader(&tar.Header{Name: "data/" + name + ".csv", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err = a.Write(b)
		return errors.Join(err, a.Close())
	})
}

func repack(t testing.TB, dir, from, to string, put func(w io.Writer, name string, b []byte) error) {
	t.Helper()
	for _, name := range Tables() {
		b, err := os.ReadFile(filepath.Join(dir, name+from))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		if err := errors.Join(put(z, name, b), z.Close(), os.WriteFile(filepath.Join(dir, name+to), out.Bytes(), 0o644), os.Remove(filepath.Join(dir, name+from))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamagedArchives(t *testing.T) {
	for _, c := range []struct {
		end, content, want string
	}{
		{".csv.gz", "this is no gzip file", "machine_meta.csv.gz: gzip"},
		{".tar.gz", string(zip(t, "no tar")), "machine_meta.tar.gz"},
		{".csv.gz", string(zip(t, "m_1,0,1,r1,96,100,USING\n")[:20]), "machine_meta.csv.gz"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "machine_meta"+c.end), []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(context.Background(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.end, err, c.want)
		}
	}
}

func zip(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadRefusesOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"samples of each container": {Hours: 8000, Sample: 1},
		"sample -1":                 {Sample: -1},
		"hours NaN":                 {Hours: math.NaN()},
		"from -5":                   {From: -5},
		"nodes -1":                  {Nodes: -1},
	} {
		o.Dir = t.TempDir()
		if _, _, err := Read(context.Background(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestReadStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Read(ctx, Options{Dir: put(t, small())}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
