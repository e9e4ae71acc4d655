// Package policy says which algorithms a node may use: one question, Check, that whoever
// is about to use one asks first. The exported functions of the packages beside it that make,
// take in or believe something do; sm2, sm3 and sm4 do not.
//
// There are four modes:
//
//	intl          any algorithm that is strong enough; international ones go first
//	hybrid        any that is strong enough, in the order of whoever offers them
//	gm-preferred  any that is strong enough; SM algorithms go first
//	gm-only       SM algorithms alone; keys of others are not taken in either
//
// Beside them stand a least strength in bits, and whether ECB, single certificates
// and other signers' identities than those of a list are refused. A denial is a
// *DeniedError that says what would be let through; it is counted by operation and
// algorithm, for a metric.
package policy
