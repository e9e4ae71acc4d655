// Package bench measures the qos room on the node it runs on: the demo, and
// the benches whose results the READMEs show. Everything is measured side by
// side in one run, in interleaved rounds; a round that something else on the
// node disturbed is done again, and a bench that cannot get quiet rounds says
// so and writes nothing.
//
// Service, generator and burners run as processes of their own (LoadMain), so
// that each can be put into a cgroup; the agent is the real one, a child
// process with directories of its own.
package bench
