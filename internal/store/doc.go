// Package store keeps the history of the agent's own metrics in an embedded
// Prometheus TSDB and answers the Prometheus HTTP query API over it.
//
// A [Store] owns one goroutine. It gathers the agent's registry each interval,
// appends what it finds, and does the database's housekeeping (m-mapping of full
// chunks, compaction, retention) itself: the database's own background work is
// switched off, because it panics in goroutines of its own when the disk fills.
//
// History is a convenience and must never cost the agent its life. Whatever
// goes wrong with the directory, Open succeeds and the store says what happened
// through [Store.Health]: a corrupted database is moved aside and a fresh one
// started; with a full, read-only or missing disk there is no history until a
// periodic retry finds the disk usable again, and the query API answers 503.
//
// All timestamps handed to or read from the database are milliseconds since the
// Unix epoch. The HTTP API speaks seconds with a millisecond fraction, as the
// Prometheus documentation of the v1 API lays down.
package store
