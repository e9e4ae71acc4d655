package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/qos/load"
)

// LoadMain is the body of a load process: args are its kind (service,
// generate, burn, touch, stream, traffic) and its options in JSON. It waits for a line on in, so that
// its parent can put it into a cgroup first, and ends when in does.
func LoadMain(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("load: want a kind and options")
	}
	r := bufio.NewReader(in)
	if _, err := r.ReadString('\n'); err != nil {
		return fmt.Errorf("load: wait for the go-ahead: %w", err)
	}
	if args[0] == "traffic" {
		var o load.TrafficOptions
		if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
			return fmt.Errorf("load traffic: %w", err)
		}
		return load.Traffic(ctx, o, r, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, r)
		cancel()
	}()
	enc := json.NewEncoder(out)
	switch args[0] {
	case "service":
		return serve(ctx, args[1], enc)
	case "generate":
		var o load.GenOptions
		if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
			return fmt.Errorf("load generate: %w", err)
		}
		res, err := load.Generate(ctx, o)
		if err != nil {
			return err
		}
		return enc.Encode(res)
	case "burn":
		var o load.BurnOptions
		if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
			return fmt.Errorf("load burn: %w", err)
		}
		_, err := load.Burn(ctx, o)
		return err
	case "touch", "stream":
		var o load.FileOptions
		if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
			return fmt.Errorf("load %s: %w", args[0], err)
		}
		if args[0] == "touch" {
			return load.Touch(ctx, o)
		}
		return load.Stream(ctx, o)
	}
	return fmt.Errorf("load: unknown kind %q", args[0])
}

func serve(ctx context.Context, options string, enc *json.Encoder) error {
	var o load.ServiceOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return fmt.Errorf("load service: %w", err)
	}
	s, err := load.OpenService(o)
	if err != nil {
		return err
	}
	if err := enc.Encode(map[string]string{"url": s.URL()}); err != nil {
		return err
	}
	_, err = s.Serve(ctx)
	return err
}

// child is one load process.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
	errs *strings.Builder
}

// start runs self with args and puts the process into group before it begins.
func (r *rig) start(group *group, kind string, options any) (*child, error) {
	c, err := r.startHeld(group, kind, options)
	if err == nil {
		if _, err = c.in.Write([]byte("\n")); err != nil {
			c.kill()
		}
	}
	return c, err
}

// startHeld is start of a process that does not begin until it is given a line.
func (r *rig) startHeld(group *group, kind string, options any) (*child, error) {
	body, err := json.Marshal(options)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(r.Self[0], append(append([]string{}, r.Self[1:]...), kind, string(body))...), errs: &strings.Builder{}}
	c.cmd.Stderr = c.errs
	// A killed bench must leave no load: the end of in ends the child too, but
	// a burner looks for it only now and then.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := r.spawn(c.cmd); err != nil {
		return nil, fmt.Errorf("start load process: %w", err)
	}
	if group != nil {
		err = group.enter(c.cmd.Process.Pid)
	}
	if err != nil {
		c.kill()
		return nil, err
	}
	return c, nil
}

// spawn starts a command from a thread that does not end before the process
// does: Pdeathsig fires at the death of the parent's thread. It begins in the
// rig's network, if there is one.
func (r *rig) spawn(cmd *exec.Cmd) error {
	done := make(chan error)
	r.spawns <- func() { done <- r.startIn(r.space, cmd) }
	return <-done
}

func (r *rig) startIn(at *lab.Space, cmd *exec.Cmd) error {
	if at == nil {
		return cmd.Start()
	}
	leave, err := at.Enter()
	if err != nil {
		return err
	}
	return errors.Join(cmd.Start(), leave())
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// read waits for the child's next answer.
func (c *child) read(v any) error {
	if err := c.out.Decode(v); err != nil {
		_ = c.cmd.Wait()
		return fmt.Errorf("load process ended: %w: %s", err, strings.TrimSpace(c.errs.String()))
	}
	return nil
}

func (c *child) kill() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// service starts an LS service and gives its URL.
func (r *rig) service(g *group, o load.ServiceOptions) (*child, string, error) {
	o.Calibration = r.calibration
	c, err := r.start(g, "service", o)
	if err != nil {
		return nil, "", err
	}
	var ready struct{ URL string }
	if err := c.read(&ready); err != nil {
		c.kill()
		return nil, "", err
	}
	return c, ready.URL, nil
}

// burner starts best-effort work; units reads how much it did.
type burner struct {
	*child
	file string
}

func (r *rig) burner(g *group, threads int) (*burner, error) {
	f, err := os.CreateTemp(r.dir, "burn-")
	if err != nil {
		return nil, err
	}
	_ = f.Close()
	c, err := r.start(g, "burn", load.BurnOptions{Threads: threads, Calibration: r.calibration, StatsFile: f.Name()})
	if err != nil {
		return nil, err
	}
	return &burner{c, f.Name()}, nil
}

func (b *burner) units() float64 {
	s, err := load.ReadBurnStats(b.file)
	if err != nil {
		return 0 // it has not begun
	}
	return float64(s.Units)
}
