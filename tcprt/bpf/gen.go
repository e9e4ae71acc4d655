// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the kernel side of package tcprt: its C source, the
// compiled object and the Go code that bpf2go makes from it. It is not an
// interface; use package tcprt.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-14 -strip llvm-strip-14 -target bpfel -cflags "-O2 -mcpu=v3 -g -Wall -Werror" -type record -type whole -type total -type service -type count -type owner Tcprt tcprt.bpf.c
