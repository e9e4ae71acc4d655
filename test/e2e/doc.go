// Package e2e tests the built binary on the real node, as a user meets it.
package e2e
