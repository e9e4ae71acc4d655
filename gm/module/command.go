package module

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/impl"
)

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "gm",
		Short: "ShangMi: SM2, SM3 and SM4, and the formats built on them",
		Long: `China's commercial cryptography: hashes, keys, certificates, signed and enveloped
messages. What may be used is the word of the section gm in the configuration file:
with mode gm-only nothing but ShangMi is made, taken in or believed. Where a self-test
fails no verb does anything but status, selftest, probe, revert and bench.`,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			warnLimit(cmd)
			if err := enforcePolicy(cmd, args); err != nil || among(cmd, withoutTest) {
				return err
			}
			return inOrder()
		},
	}
	c.AddCommand(statusCommand(), selftestCommand())
	c.AddCommand(keyCommand(), csrCommand(), certCommand(), caCommand())
	c.AddCommand(cmsCommand(), encCommand(), decCommand())
	c.AddCommand(modsignCommand(), uefiCommand(), imaCommand(), luksCommand())
	c.AddCommand(sumCommand(), rngCommand(), benchCommand())
	return c
}

// withoutTest are verbs that tell how things are, undo, or measure, and do so in the error
// state too. bench compares what it measures with a peer first.
var withoutTest = append([]string{"bench"}, withoutPolicy...)

// among says whether a command is one of these verbs of gm.
func among(cmd *cobra.Command, verbs []string) bool {
	p := cmd.Parent()
	return p != nil && p.Name() == "gm" && slices.Contains(verbs, cmd.Name())
}

// warnLimit tells of a GM_CPU that is none, which bounds nothing; status shows it itself.
func warnLimit(cmd *cobra.Command) {
	if among(cmd, []string{"status"}) {
		return
	}
	if _, err := impl.Limit(); err != nil {
		_, _ = fmt.Fprintf(core.EnvFrom(cmd.Context()).Err, "warning: %v\n", err)
	}
}
