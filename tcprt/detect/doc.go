// Package detect says when a service is not as it was: from its windows of one
// second, with no thresholds to set.
//
// A [Detector] looks at one [Signal] of one service. Three there are:
//
//   - [NewRobust], of a quantile of the times: how many standard deviations its
//     logarithm lies over the median of what it was, in quiet times, of late.
//   - [NewCauchy], the same with the model of TcpRT: a Cauchy distribution of the
//     median and half the distance of the quartiles. Its tail is fat, so that it can
//     only ask for a run of moderate windows.
//   - [NewRate], of counts out of counts, as failed requests of all or segments sent
//     again of all: the likelihood of a binomial distribution, so that one failure of
//     ten requests is not ten of a hundred.
//
// Five things keep them quiet. A detector warms up first. A window of few requests
// is not judged but merged with the next ones. One window, however far out, is never
// an anomaly: see [Rule]. What is small in proportion or in itself is none either. And
// what looks anomalous is not learnt: the baseline stands still meanwhile. Where it
// lasts for half an hour it is the new normal, and the baseline starts anew.
//
// A [Monitor] has all signals of many services, and makes one [Event] of what they
// say at the same time.
//
// Time is that of the windows. Nothing here is safe for concurrent use, and nothing
// allocates once a service is known.
//
// Sources: TcpRT, SIGMOD 2018, doi:10.1145/3183713.3190659 (Cauchy); Page,
// Continuous inspection schemes, doi:10.1093/biomet/41.1-2.100 (sums of deviations);
// McCullagh and Nelder, Generalized linear models, §4.5 (dispersion of counts).
package detect
