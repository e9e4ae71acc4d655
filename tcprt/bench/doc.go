// Package bench measures what timing each TCP request costs, and how true its times
// are, on the real kernel with real servers and clients: redis, nginx, haproxy,
// PostgreSQL, MariaDB, and those that ask them.
package bench
