// Package sim makes up what tcprt would see of a service: windows and records of
// requests with times of their own, on a day with its ups and downs, and from some
// second on a fault. It is for tests of what judges windows.
//
// A quiet day is not a flat one: the rate and the service's time follow the hour;
// the time wanders by some per cent within a minute; ten seconds of each hour are
// three times as slow, as when a collector of garbage runs; segments get lost, and in
// bursts; some requests fail.
//
// Windows are not made of new requests each, but drawn from a pool of them, so that
// a day of 2000 requests a second takes seconds. The same Spec makes the same windows.
package sim
