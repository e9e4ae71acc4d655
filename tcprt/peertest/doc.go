// Package peertest tests package tcprt with programs that others wrote.
package peertest
