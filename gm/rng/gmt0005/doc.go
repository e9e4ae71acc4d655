// Package gmt0005 has the 15 tests of GM/T 0005-2021, by which a source of random bits is
// accepted or refused, and the judgement over many samples (clause 6).
//
// A test looks at one sample and gives a P-value: how probable it is that a perfect
// source would look as odd or odder; the sample passes where P is Alpha or more. Beside
// it stands a Q-value, which is P, or, where a statistic has two sides, the probability of
// one of them: over the samples of a perfect source it is spread evenly.
// A source is accepted when, for every test, as many samples pass as clause 6.2 wants
// (Need), and the Q-values are spread evenly (clause 6.3, Uniformity of AlphaT or more).
//
// Samples have 20,000, 1,000,000 or 100,000,000 bits; a test's parameters follow from
// that (appendix A). Tests that ask for more than 20,000 bits are not made of those.
// The first bit of a byte is its highest.
//
// To be refused by mistake is no rarity: of 20 samples of a perfect source one third is,
// since 27 values are judged that each fail in 1 of 60 cases. Report.Chance
// tells. With 1,000 samples, as the standard recommends, it is about one in ten.
// Many times more samples than that show the tests' own approximations: the Fourier
// test's values of 20,000 bits come in steps, which Uniformity sees in 10,000 samples.
package gmt0005
