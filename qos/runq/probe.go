package runq

// Probe tells whether Open can work here: nil for yes, an error that wraps a
// *feature.UnsupportedError for no, any other error when it could not tell. It
// asks by doing: it opens a Tracer and closes it, some 10 ms, which leaves
// nothing behind.
func Probe() error {
	t, err := Open(Options{})
	if err != nil {
		return err
	}
	return t.Close()
}
