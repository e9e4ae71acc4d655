// Package locate says what the anomalous ones of many instances have in common: the
// smallest component (a host, a rack, a proxy, a subnet of clients) that explains
// most of them.
//
// An [Instance] has labels and is anomalous or not. For each component, a label with
// its value or a pair of them, Fisher's exact test gives the chance that as many of
// its instances would be anomalous if it had nothing to do with it; Benjamini and
// Hochberg's procedure accounts for how many components were tested. Of those that
// are left the one is best that has most of the anomalous instances and few others:
// the harmonic mean of both shares. Of two that have the same instances, the more
// specific one is it.
//
// On a single node the instances are requests: [Tally] counts records by the subnet
// of their peer, or any other label.
//
// Sources: TcpRT, SIGMOD 2018, doi:10.1145/3183713.3190659 (the ratio of anomalous
// instances); Fisher, doi:10.2307/2340521; Benjamini and Hochberg,
// doi:10.1111/j.2517-6161.1995.tb02031.x.
package locate
