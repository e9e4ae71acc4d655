package module

import "github.com/spf13/cobra"

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "gm",
		Short: "ShangMi: SM2, SM3 and SM4, and the formats built on them",
		Long:  `China's commercial cryptography: hashes, keys, certificates, signed and enveloped messages.`,
	}
	c.AddCommand(statusCommand())
	c.AddCommand(rngCommand(), selftestCommand(), cmsCommand(), modsignCommand(), uefiCommand())
	c.AddCommand(benchCommand())
	return c
}
