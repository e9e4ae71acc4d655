package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	peer "github.com/emmansun/gmsm/sm3"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/internal/benchfmt"
)

var sm3Cases = []benchCase{
	{Name: "sm3-16k", Doc: "SM3 of one stream", Run: (*bencher).sm3Stream},
	{Name: "sm3-64", Doc: "SM3 of 64 bytes", Run: (*bencher).sm3Short},
	{Name: "sm3-many", Doc: "SM3 of 32 and of 16 messages side by side, against GNU cksum", Run: (*bencher).sm3Many},
	{Name: "sm3-files", Doc: "SM3 of 10,000 files, the command against GNU cksum", Run: (*bencher).sm3Files},
}

func hashSubject(name string, n int, sum func([]byte) [32]byte) *subject {
	src, dst := text(n), make([]byte, 32)
	return inProcess(name, float64(n), dst[16:], func() (func() error, error) {
		return func() error {
			s := sum(src)
			copy(dst, s[:])
			return nil
		}, nil
	})
}

func (b *bencher) sm3Stream(ctx context.Context) ([]benchfmt.Result, error) {
	d, err := b.needGcrypt()
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: "SM3, one message of 16 KiB", unit: "MB/s", ours: hashSubject("", 16*kib, sm3.Sum),
		peers: []versus{{"sm3-16k", ">=1.05", d.subject("sm3", 16*kib)}, {"sm3-16k-gmsm", "", hashSubject(gmsmName, 16*kib, peer.Sum)}},
	})
}

func (b *bencher) sm3Short(ctx context.Context) ([]benchfmt.Result, error) {
	return b.play(ctx, match{
		what: "SM3, 64 bytes", unit: "MB/s", ours: hashSubject("", 64, sm3.Sum),
		peers: []versus{{"sm3-64", "", hashSubject(gmsmName, 64, peer.Sum)}},
	})
}

// pieceSize is of what SumMany hashes side by side, pieces at most.
const (
	pieces    = 32
	pieceSize = 64 * kib
)

// sm3Many hashes the same messages again and again, and then as many bytes as cksum does,
// which come from memory as cksum's do. cksum reads a file that is in memory; all of its
// CPU time counts.
func (b *bencher) sm3Many(ctx context.Context) ([]benchfmt.Result, error) {
	cksum, dir, err := b.cksumIn()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	n := 128
	if b.Short {
		n = 2
	}
	all := text(n * pieces * pieceSize)
	if err := os.WriteFile(filepath.Join(dir, "file"), all, 0o600); err != nil {
		return nil, err
	}
	theirs := command("cksum "+cksumRelease, float64(len(all)), dir, cksum, "-a", "sm3", "file")
	var out []benchfmt.Result
	for _, c := range []struct {
		id, than, more string
		n              int
		of             []byte
	}{
		{"sm3-many", ">=10", "", pieces, all[:pieces*pieceSize]},
		{"sm3-many-16", "", "", 16, all[:16*pieceSize]},
		{"sm3-many-far", "", fmt.Sprintf(", others each time, of %d MiB", len(all)>>20), pieces, all},
	} {
		r, err := b.play(ctx, match{
			what: fmt.Sprintf("SM3, %d messages of 64 KiB side by side%s", c.n, c.more), unit: "GB/s", ours: manySubject(c.of, c.n),
			peers: []versus{{c.id, c.than, theirs}},
		})
		if err != nil {
			return out, err
		}
		out = append(out, r...)
	}
	return out, nil
}

// manySubject hashes pieces of all, n at a time, and begins again at its end.
func manySubject(all []byte, n int) *subject {
	messages, sums := make([][]byte, n), make([][sm3.Size]byte, n)
	return inProcess("", float64(n*pieceSize), nil, func() (func() error, error) {
		rest := all
		return func() error {
			if len(rest) == 0 {
				rest = all
			}
			for i := range messages {
				messages[i], rest = rest[:pieceSize], rest[pieceSize:]
			}
			sm3.SumMany(sums, messages)
			return nil
		}, nil
	})
}

// cksumIn is the peer, and a folder in memory for its files, which is the caller's to remove.
func (b *bencher) cksumIn() (program, dir string, err error) {
	if program, err = b.cksum(); err != nil {
		return "", "", err
	}
	dir, err = memory()
	return program, dir, err
}

// command is a program that does all its work in one run, all whose CPU time counts.
func command(name string, work float64, dir, program string, args ...string) *subject {
	return &subject{name: name, work: work, n: 1, run: func(int) (took, string, error) {
		_, t, err := output(dir, program, args...)
		return t, "", err
	}}
}

func output(dir, program string, args ...string) ([]byte, took, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	start := time.Now()
	out, err := cmd.Output()
	wall := time.Since(start)
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return nil, took{}, fmt.Errorf("run %s: %w: %s", program, err, failed.Stderr)
		}
		return nil, took{}, fmt.Errorf("run %s: %w", program, err)
	}
	return out, took{cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), wall}, nil
}

// sm3Files is of whole processes: their start, the files' opening and reading, and what is
// printed.
func (b *bencher) sm3Files(ctx context.Context) ([]benchfmt.Result, error) {
	if len(b.Sum) == 0 {
		return nil, &feature.UnsupportedError{Feature: "hashing of files", Reason: feature.NotBuilt, Need: "a command that hashes files"}
	}
	cksum, dir, err := b.cksumIn()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const size = 32 * kib
	n := 10_000
	if b.Short {
		n = 100
	}
	names, err := files(dir, n, size)
	if err != nil {
		return nil, err
	}
	own, theirs := slices.Concat(b.Sum[1:], names), slices.Concat([]string{"-a", "sm3"}, names)
	if err := sameSums(dir, n, slices.Concat(b.Sum[:1], own), slices.Concat([]string{cksum}, theirs)); err != nil {
		return nil, err
	}
	work := float64(n * size)
	return b.play(ctx, match{
		what: fmt.Sprintf("SM3 of %d files of 32 KiB in memory, whole processes", n), unit: "GB/s",
		ours:  command("", work, dir, b.Sum[0], own...),
		peers: []versus{{"sm3-files", ">=4", command("cksum "+cksumRelease, work, dir, cksum, theirs...)}},
	})
}

// files writes n files of so many bytes, all different.
func files(dir string, n, size int) (names []string, err error) {
	b := text(size)
	for i := range n {
		name := fmt.Sprintf("f%05d", i)
		copy(b, name)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

var sumPattern = regexp.MustCompile(`\b[0-9a-f]{64}\b`)

// sameSums fails where two commands do not print the same n hashes in one order.
func sameSums(dir string, n int, a, b []string) error {
	var sums [2][]string
	for i, args := range [][]string{a, b} {
		out, _, err := output(dir, args[0], args[1:]...)
		if err != nil {
			return err
		}
		sums[i] = sumPattern.FindAllString(string(out), -1)
	}
	if len(sums[0]) != n || !slices.Equal(sums[0], sums[1]) {
		return fmt.Errorf("compare hashes of %d files: %s prints %d, and not what %s does, %d", n, a[0], len(sums[0]), b[0], len(sums[1]))
	}
	return nil
}
