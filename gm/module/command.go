package module

import "github.com/spf13/cobra"

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "gm",
		Short: "ShangMi: SM2, SM3 and SM4, and the formats built on them",
		Long: `China's commercial cryptography: hashes, keys, certificates, signed and enveloped
messages. What may be used is the word of the section gm in the configuration file:
with mode gm-only nothing but ShangMi is made, taken in or believed.`,
		PersistentPreRunE: enforcePolicy,
	}
	c.AddCommand(statusCommand(), selftestCommand())
	c.AddCommand(keyCommand(), csrCommand(), certCommand(), caCommand())
	c.AddCommand(cmsCommand(), encCommand(), decCommand())
	c.AddCommand(modsignCommand(), uefiCommand(), imaCommand(), luksCommand())
	c.AddCommand(sumCommand(), rngCommand(), benchCommand())
	return c
}
