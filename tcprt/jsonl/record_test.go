package jsonl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// check holds a value to the part of JSON Schema that Schema uses.
func check(path string, schema map[string]any, v any) error {
	if all, ok := schema["enum"].([]any); ok && !slices.Contains(all, v) {
		return fmt.Errorf("%s is %v, want one of %v", path, v, all)
	}
	switch schema["type"] {
	case "string":
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("%s is no string", path)
		}
		if schema["format"] == "date-time" {
			_, err := time.Parse(time.RFC3339Nano, s)
			return err
		}
	case "number", "integer":
		n, ok := v.(float64)
		if least, has := schema["minimum"].(float64); !ok || has && n < least || schema["type"] == "integer" && n != float64(int64(n)) {
			return fmt.Errorf("%s is %v", path, v)
		}
	case "object":
		o, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", path)
		}
		props := schema["properties"].(map[string]any)
		for _, name := range schema["required"].([]any) {
			if _, ok := o[name.(string)]; !ok {
				return fmt.Errorf("%s has no %s", path, name)
			}
		}
		for name, x := range o {
			p, ok := props[name].(map[string]any)
			if !ok {
				return fmt.Errorf("%s has %s, which is not described", path, name)
			}
			if err := check(path+"."+name, p, x); err != nil {
				return err
			}
		}
	}
	return nil
}

func records() []tcprt.Record {
	whole := tcprt.Record{
		Role: tcprt.Server, Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("[2001:db8::1]:5"), T0: 1, T1: 2, Read: 3, T2: 4, Last: 5, T3: 6,
		PID: 7, Command: tcprt.Command{'x', 0x1b}, RequestBytes: 8, AnswerBytes: 9, Unacked: 1, Retransmits: 2, OutOfOrder: 3, ZeroWindows: 4, Busy: 5, WindowLimited: 6, BufferLimited: 7,
		Queued: 8, RTT: 9, MinRTT: 10, Flags: tcprt.Closed | tcprt.Overlap, NetNS: 11, Cgroup: 12, Number: 13,
	}
	client := whole
	client.Role, client.Read, client.T3, client.Flags = tcprt.Client, 0, 0, tcprt.AbortedAnswer
	return []tcprt.Record{whole, client, {Role: tcprt.Server}}
}

// What is written is as the schema says, and the schema has every field there is.
func TestSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	for _, r := range records() {
		v := Of(&r, &tcprt.Names{Pod: "web", Namespace: "default"}, time.Hour)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if err := check("record", schema, got); err != nil {
			t.Errorf("%v: %s", err, b)
		}
	}
	props := schema["properties"].(map[string]any)
	typ := reflect.TypeFor[Record]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if _, ok := props[name]; !ok {
			t.Errorf("%s is not described", name)
		}
	}
	if typ.NumField() != len(props) {
		t.Errorf("%d fields, %d described", typ.NumField(), len(props))
	}
}

func TestRead(t *testing.T) {
	var b bytes.Buffer
	want := Of(&records()[0], &tcprt.Names{}, 0)
	if err := json.NewEncoder(&b).Encode(want); err != nil {
		t.Fatal(err)
	}
	var got []Record
	keep := func(r *Record) error { got = append(got, *r); return nil }
	if err := Read(strings.NewReader(b.String()+"\n"+b.String()), keep); err != nil || len(got) != 2 || got[1].Remote != want.Remote || got[1].Phases["queue"] != want.Phases["queue"] {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Read(strings.NewReader(b.String()+"{\"number\": \"x\"}\n"), keep); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"time":"2026-01-01T00:00:00Z","local":"10.0.0.1:80","phases_seconds":{"upload":1}}`))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = Read(bytes.NewReader(b), func(*Record) error { return nil }) })
}
