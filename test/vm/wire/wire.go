// Package wire is what host and guest of a test's virtual machine say to each other.
package wire

// Kind says what a Message asks for or tells.
type Kind int

// Kinds. The host asks, the guest answers; it says Hello by itself once.
const (
	Hello Kind = iota // the guest is up; Text is its kernel's release
	Put               // write Data to Path with Mode; answered by Done
	Get               // read Path; answered by Done with Data
	Run               // run Argv with Env in Dir; answered by Out … and Done with Code
	Out               // Data from standard output, or standard error if Err
	Done              // the end of what was asked; Text is an error, if any
	Off               // reboot, which ends the virtual machine; not answered
	Beat              // the guest is alive; sent each second, also during a Run
	Dump              // during a Run: what its program and the kernel's tasks do; not answered
	Kill              // during a Run: all processes but the first; not answered
)

// Message is what goes over the serial port between host and guest, as a gob
// stream in each direction.
type Message struct {
	Kind Kind
	Path string
	Mode uint32
	Data []byte
	Argv []string
	Env  []string
	Dir  string
	Err  bool
	Code int // exit code; 128 + signal
	Text string
}

// Port is the name of the virtio serial port.
const Port = "anole"
