package cgroup

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// child is the main function of a process that the tests play with.
func child() {
	var kids []*exec.Cmd
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		switch in.Text() {
		case "thread":
			up := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				close(up)
				select {}
			}()
			<-up
		case "child":
			c := exec.Command("sleep", "1000")
			if err := c.Start(); err != nil {
				fmt.Println(err)
				continue
			}
			kids = append(kids, c)
		}
		fmt.Println("done")
	}
	for _, c := range kids {
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}
