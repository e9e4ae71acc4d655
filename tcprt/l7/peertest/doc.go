// Package peertest tests package l7 with servers and clients that others wrote.
package peertest
