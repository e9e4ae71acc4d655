package store

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func init() {
	if os.Getenv("ZPEAK") == "" {
		return
	}
	go func() {
		maxA, maxF, maxR := 0, 0, 0
		for range time.Tick(4 * time.Millisecond) {
			b, _ := os.ReadFile("/proc/self/status")
			a, f := 0, 0
			for _, l := range strings.Split(string(b), "\n") {
				if s, ok := strings.CutPrefix(l, "RssAnon:"); ok {
					fmt.Sscan(s, &a)
				}
				if s, ok := strings.CutPrefix(l, "RssFile:"); ok {
					fmt.Sscan(s, &f)
				}
			}
			if a+f > maxR+1024 {
				maxR = a + f
				fmt.Printf("peak rss %d anon %d file %d\n", maxR>>10, a>>10, f>>10)
			}
			maxA, maxF = max(maxA, a), max(maxF, f)
		}
	}()
}
