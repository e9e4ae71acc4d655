// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

func TestGenerateRemakesByteForByte(t *testing.T) { testkit.BPFRemade(t, "tcprt") }

func TestBuildTags(t *testing.T) { testkit.BPFLoaders(t, "tcprt") }
