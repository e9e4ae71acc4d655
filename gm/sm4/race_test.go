//go:build race

package sm4

// raced says that pools lose what is put into them, now and then.
const raced = true
