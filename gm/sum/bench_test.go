package sum

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func BenchmarkFiles(b *testing.B) {
	for _, kind := range []struct{ files, size int }{{2000, 1 << 10}, {2000, 32 << 10}, {500, 256 << 10}, {16, 16 << 20}, {1, 64 << 20}} {
		b.Run(fmt.Sprintf("%dx%dKiB", kind.files, kind.size>>10), func(b *testing.B) {
			dir := b.TempDir()
			names := make([]string, kind.files)
			for i := range names {
				names[i] = filepath.Join(dir, fmt.Sprint(i))
				if err := os.WriteFile(names[i], bytes.Repeat([]byte{byte(i)}, kind.size), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(kind.files * kind.size))
			b.ReportAllocs()
			before := spent()
			for b.Loop() {
				if err := Files(context.Background(), Names(names), Options{}, func(f *File) error { return f.Err }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*kind.files*kind.size)/1e6/(spent()-before).Seconds(), "MB/cpu-s")
		})
	}
}

// spent is the process's time on processors, which others on the machine change less than
// the clock's.
func spent() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
