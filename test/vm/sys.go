package vm

import "syscall"

// diesWithUs has QEMU killed when this process ends, however it ends.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
