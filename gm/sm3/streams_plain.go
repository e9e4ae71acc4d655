//go:build !amd64

package sm3

func newSides() sides { return &separate{} }
