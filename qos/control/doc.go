// Package control decides, from what was sensed, how much CPU best-effort work
// may have. Its controllers are pure state machines: the time and all signals
// come in as arguments, nothing is read and nothing is written, so that a
// recorded trace replays to the same decisions.
package control
