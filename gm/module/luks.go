package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/luks2"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/internal/yamlx"
)

func luksCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "luks",
		Short: "Encrypted disks and images: LUKS2 with SM4",
		Long: `Makes and reads containers of LUKS2 with sm4-xts-plain64 and SM3, in user space: no
kernel with SM4, no device mapper and no root is needed. A kernel that has SM4 takes
them by cryptsetup open. Containers of cryptsetup with aes-xts-plain64 are read too.`,
	}
	c.AddCommand(luksFormatCommand(), luksDumpCommand(), luksAddKeyCommand(), luksRemoveKeyCommand(), luksImportCommand(), luksExportCommand())
	return c
}

// luksSlot is the flags of a key slot.
type luksSlot struct {
	o      luks2.SlotOptions
	memory string
}

func (s *luksSlot) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.o.KDF.Type, "pbkdf", "pbkdf2", "how a key is made of the passphrase: pbkdf2, argon2id or argon2i")
	f.StringVar(&s.o.Hash, "slot-hash", "sm3", "hash of the key slot: sm3, sha256 or sha512")
	f.IntVar(&s.o.KDF.Iterations, "iterations", 0, "of pbkdf2, at least 1000; 0 is 600,000")
	f.IntVar(&s.o.KDF.Time, "passes", 0, "of argon2, at least 4; 0 is 4")
	f.StringVar(&s.memory, "memory", "", "of argon2, at least 32KiB; 256MiB where nothing is said")
	f.StringVar(&s.o.Cipher, "slot-cipher", "", "cipher of the key slot: the volume's, or aes-xts-plain64, which cryptsetup opens without a kernel that has SM4")
}

func (s *luksSlot) options() (luks2.SlotOptions, error) {
	o := s.o
	o.KDF.Hash = o.Hash
	if s.memory != "" {
		b, err := luksBytes(s.memory)
		if err != nil {
			return o, err
		}
		o.KDF.Memory = int(b >> 10)
	}
	return o, o.Check()
}

func luksBytes(text string) (int64, error) {
	b, err := yamlx.ParseBytes(text)
	if err != nil || b < 0 {
		return 0, core.Exit(core.ExitUsage, fmt.Errorf("%q is no number of bytes, such as 1GiB", text))
	}
	return int64(b), nil
}

func luksFormatCommand() *cobra.Command {
	var o luks2.Options
	var slot luksSlot
	var size, pass string
	var force bool
	c := &cobra.Command{
		Use:   "format FILE",
		Short: "Make a container; what was there is lost",
		Long: `Makes a container in a file, which is made too where --size is given, or on a block
device. With --slot-cipher aes-xts-plain64 cryptsetup can check passphrases on a
kernel without SM4 as well; to open the volume it needs one with SM4.`,
		Example: "  anole gm luks format disk.img --size 1GiB\n  anole gm luks format disk.img --size 1GiB --key-file key --pbkdf argon2id --slot-hash sha256",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Slot, err = slot.options(); err != nil {
				return err
			}
			var bytes int64
			if size != "" {
				if bytes, err = luksBytes(size); err != nil {
					return err
				}
			}
			if err := o.Check(); err != nil {
				return err
			}
			phrase, err := luksPassphrase(cmd, pass, "new passphrase", true)
			if err != nil {
				return err
			}
			return luksFormat(cmd, args[0], bytes, force, phrase, o)
		},
	}
	slot.flags(c)
	f := c.Flags()
	f.StringVar(&size, "size", "", "make the file, with a volume of this size")
	f.BoolVar(&force, "force", false, "although there is something already")
	f.StringVar(&pass, "key-file", "", "file with the passphrase, all of it; - is standard input")
	f.StringVar(&o.Cipher, "cipher", luks2.SM4XTS, "sm4-xts-plain64 or aes-xts-plain64")
	f.StringVar(&o.Hash, "hash", "sm3", "hash by which a key is known: sm3, sha256 or sha512")
	f.IntVar(&o.SectorSize, "sector-size", 4096, "512 or 4096")
	f.StringVar(&o.Label, "label", "", "name of the container")
	return c
}

func luksFormat(cmd *cobra.Command, path string, size int64, force bool, secret []byte, o luks2.Options) (err error) {
	env := core.EnvFrom(cmd.Context())
	flags := os.O_RDWR
	if size > 0 && !force {
		flags |= os.O_CREATE | os.O_EXCL
	} else if size > 0 {
		flags |= os.O_CREATE
	}
	_, before := os.Lstat(path)
	made := errors.Is(before, os.ErrNotExist)
	// A file that is new is there once there is something to write into it.
	var draft *luks2.Draft
	if made && size > 0 {
		if draft, err = luks2.Prepare(cmd.Context(), secret, o); err != nil {
			return luksError(err)
		}
	}
	f, err := luksFile(path, flags)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil && made {
			_ = os.Remove(path)
		}
	}()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("measure %s: %w", path, err)
	}
	if !made && !force && (st.Size() > 0 || !st.Mode().IsRegular()) {
		return core.Exit(core.ExitUsage, fmt.Errorf("%s is there already, and what it has would be lost: --force", path))
	}
	if draft == nil {
		if draft, err = luks2.Prepare(cmd.Context(), secret, o); err != nil {
			return luksError(err)
		}
	}
	if size > 0 && st.Mode().IsRegular() {
		if err := f.Truncate(16<<20 + size); err != nil {
			return fmt.Errorf("make %s as large: %w", path, err)
		}
	}
	c, key, err := draft.Write(f)
	if err != nil {
		return luksError(err)
	}
	defer key.Wipe()
	v, err := c.Volume(key)
	if err != nil {
		return err
	}
	n, err := v.Size()
	if err != nil {
		return err
	}
	if env.JSON {
		return env.PrintJSON(map[string]any{"file": path, "uuid": c.Info().UUID, "volume_bytes": n})
	}
	_, err = fmt.Fprintf(env.Out, "%s: %s, a volume of %d bytes with %s\n", path, c.Info().UUID, n, o.Cipher)
	return err
}

// luksError gives the exit code of what a container's header says.
func luksError(err error) error {
	switch {
	case errors.Is(err, luks2.ErrPassphrase):
		return core.Exit(core.ExitDenied, err)
	case errors.Is(err, luks2.ErrWeak):
		return core.Exit(core.ExitUsage, err)
	case errors.Is(err, luks2.ErrUnsupported):
		return core.Exit(core.ExitUnsupported, err)
	}
	return err
}

func luksDumpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dump FILE",
		Short: "What a container's header says",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := core.EnvFrom(cmd.Context())
			f, err := os.Open(filepath.Clean(args[0]))
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			defer f.Close()
			c, err := luks2.Open(f)
			if err != nil {
				return luksError(fmt.Errorf("%s: %w", args[0], err))
			}
			i := c.Info()
			if env.JSON {
				return env.PrintJSON(i)
			}
			return luksText(env, i, c.KeySlots())
		},
	}
}

func luksText(env *core.Env, i luks2.Info, slots map[string]*luks2.Slot) error {
	t := term.NewTable()
	t.Row("UUID", i.UUID)
	t.Row("label", i.Label)
	t.Row("header", fmt.Sprintf("2 copies of %d bytes, change %d", i.Size, i.Sequence))
	if i.Warning != "" {
		t.Row("warning", i.Warning)
	}
	for _, n := range luksSorted(i.Segments) {
		s := i.Segments[n]
		t.Row("segment "+n, fmt.Sprintf("%s, %s, from byte %d, size %s, sectors of %d", s.Type, s.Encryption, s.Offset, s.Size, s.SectorSize))
	}
	for _, n := range luksSorted(i.Slots) {
		t.Row("key slot "+n, luksSlotText(slots[n], i.Slots[n]))
	}
	for _, n := range luksSorted(i.Digests) {
		d := i.Digests[n]
		t.Row("digest "+n, fmt.Sprintf("%s with %s, %d iterations, of key slots %v", d.Type, d.Hash, d.Iterations, d.Slots))
	}
	for _, n := range luksSorted(i.Tokens) {
		t.Row("token "+n, string(i.Tokens[n]))
	}
	return t.Write(env.Out)
}

func luksSlotText(s *luks2.Slot, raw json.RawMessage) string {
	if s == nil { // of a type that no passphrase opens
		return string(raw)
	}
	k := s.KDF
	kdf := fmt.Sprintf("%s with %d passes, %d KiB, %d threads", k.Type, k.Time, k.Memory, k.CPUs)
	if k.Type == "pbkdf2" {
		kdf = fmt.Sprintf("%s with %s, %d iterations", k.Type, k.Hash, k.Iterations)
	}
	return fmt.Sprintf("%d bits under %s, %s, spread by %s, at %d", s.KeySize*8, s.Area.Encryption, kdf, s.AF.Hash, s.Area.Offset)
}

// luksSorted gives names that are numbers in their order.
func luksSorted[V any](m map[string]V) (names []string) {
	for n := range m {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	return names
}
