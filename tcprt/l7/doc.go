// Package l7 tells what a request is from its first bytes and those of its answer:
// protocol, method, route, status. It reads HTTP/1, HTTP/2, Redis, MySQL,
// PostgreSQL and the records of TLS.
//
// What it gives is fit to count by. Methods, commands, verbs and the errors of
// Redis come from closed sets, all else being "other"; paths are templates, in which
// what looks like an id is {id}, and a Routes bounds how many there are. Statuses of
// SQL are codes of at most 11 bytes.
//
// Values are not kept: no header but a valid traceparent, no query string, no
// argument of a Redis command, no literal or parameter of SQL. Where the text alone
// cannot say whether it is a value, it is taken for one.
//
// Both texts may be cut anywhere, and hostile: nothing here fails, and nothing that
// comes out is over MaxMethod, MaxRoute or MaxStatus bytes. All functions are safe
// for concurrent use and keep none of the bytes. Most requests allocate nothing; a
// traceparent, a code of an error of SQL and a new route do.
//
// A connection may change its protocol: to TLS after an answer to an SSLRequest of
// PostgreSQL or MySQL, to anything after a 101 of HTTP. Who keeps the result of
// Detect per connection asks anew then. To keep it is worth it: later turns of HTTP/2
// and of MySQL, and the middle of a long answer, tell less than the first.
//
// Sources: RFC 9110 and 9112 (HTTP/1.1), RFC 9113 and 7541 (HTTP/2), W3C Trace
// Context, the Redis serialization protocol specification, MySQL's "Client/Server
// Protocol", PostgreSQL's "Frontend/Backend Protocol", RFC 8446 and 5246 (TLS).
package l7
