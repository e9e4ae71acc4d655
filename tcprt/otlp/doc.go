// Package otlp sends requests as OpenTelemetry spans, and what services did as
// metrics, to a collector that takes OTLP over HTTP (protobuf, gzip).
//
// A span is one request with a record: of kind server or client, from T0 to T3, with
// the phases as attributes in seconds. One with a traceparent hint is a child of the
// span that the header names, so that it is in that trace. A metric point is of one
// service: an exponential histogram of each phase, whose buckets are the kernel's
// own, and sums, all cumulative.
//
// What cannot be sent waits in a bounded queue and is dropped and counted when that is
// full: the measurement never waits for a collector.
//
// Sources: OpenTelemetry Protocol specification 1.9, semantic conventions 1.37
// (network.*, server.*, client.*, http.*, db.*).
package otlp
