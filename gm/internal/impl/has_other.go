//go:build !amd64

package impl

var names = []string{"generic", "assembly"}

var has = Assembly
