package module

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/gm/kern/ima/enforce"
)

// probes ask what the node has that the room can use.
func probes(root string) []*feature.Probe {
	kernel := func(alg, option string) *feature.Probe {
		return feature.NewProbe("gm", "kernel "+alg, strings.ToUpper(alg)+" in the kernel: what it checks and decrypts itself (IMA, dm-crypt, modules)", func() (string, error) {
			return kernelHas(root, alg, option)
		})
	}
	return []*feature.Probe{
		feature.NewProbe("gm", "avx512", "SM2, SM3 and SM4 by the widest instructions: AVX-512 with IFMA, and GFNI", widest),
		kernel("sm3", "CONFIG_CRYPTO_SM3_GENERIC"),
		kernel("sm4", "CONFIG_CRYPTO_SM4_GENERIC"),
		feature.NewProbe("gm", "ima enforce", "Programs run only with a good label, by fanotify (gm.ima.enforce)", func() (string, error) { return "", enforce.Probe() }),
		feature.NewProbe("gm", "kernel ima", "The kernel's own check of labels", func() (string, error) { return "", kernelIMA(root) }),
	}
}

// widest says what the processor has.
func widest() (string, error) {
	best := impl.Available()[0]
	if best == impl.AVX512 {
		return "by " + best.String(), nil
	}
	return "", &feature.UnsupportedError{
		Feature: "avx512", Reason: feature.NoHardware, Need: "an amd64 processor with AVX-512 (F, BW, DQ, VL, IFMA), GFNI and VPCLMULQDQ",
		Fix: "nothing is lacking but speed: what is taken instead is " + best.String(),
	}
}

// kernelHas looks for an algorithm among those that the kernel has loaded.
func kernelHas(root, alg, option string) (string, error) {
	f, err := os.Open(filepath.Join("/", root, "proc/crypto"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the kernel's algorithms: %w", err)
	}
	if err == nil {
		defer f.Close()
		in := bufio.NewScanner(f)
		name := ""
		for in.Scan() {
			key, value, _ := strings.Cut(in.Text(), ":")
			switch strings.TrimSpace(key) {
			case "name":
				name = strings.TrimSpace(value)
			case "driver":
				if name == alg {
					return strings.TrimSpace(value), nil
				}
			}
		}
		if err := in.Err(); err != nil {
			return "", fmt.Errorf("read the kernel's algorithms: %w", err)
		}
	}
	return "", &feature.UnsupportedError{
		Feature: "kernel " + alg, Reason: feature.NoKernel, Need: "a kernel with " + option,
		Fix: "where it is a module: modprobe crypto-" + alg + "; all of this room works in user space without",
	}
}

// kernelIMA looks for what IMA has in securityfs.
func kernelIMA(root string) error {
	dir := filepath.Join("/", root, "sys/kernel/security")
	_, err := os.Stat(filepath.Join(dir, "ima"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) == 0 {
		return errors.New("securityfs is not mounted")
	}
	return &feature.UnsupportedError{
		Feature: "kernel ima", Reason: feature.NoKernel, Need: "a kernel with CONFIG_IMA_APPRAISE, and with SM2 and SM3 to check their labels",
		Fix: "let anole do it: gm.ima.enforce",
	}
}
