package leave

import (
	"context"
	"errors"
	"io"
	"testing"
)

func TestDo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []context.Context{ctx, context.Background()} {
		if v, err := Do(c, func() (int, error) { return 1, io.EOF }); v != 1 || err != io.EOF {
			t.Error(v, err)
		}
	}
	release := make(chan bool)
	defer close(release)
	go cancel()
	if v, err := Do(ctx, func() (int, error) { <-release; return 1, nil }); v != 0 || !errors.Is(err, context.Canceled) {
		t.Error(v, err)
	}
	if _, err := Do(ctx, func() (int, error) { t.Error("it begins"); return 0, nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
