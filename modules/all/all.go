// Package all builds every room into the agent. Each room has a file here that
// imports its module; the build tag no_<room> leaves it out.
package all
