//go:build !race

package sm4

const raced = false
