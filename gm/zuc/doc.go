// Package zuc is the stream cipher ZUC and what 3GPP's 128-EEA3 and 128-EIA3 make of it:
// GM/T 0001.1-2012 (the cipher), GM/T 0001.2-2012 (confidentiality) and GM/T 0001.3-2012
// (integrity); and ZUC-256, with keys of 256 bits and IVs of 23 bytes, as its designers
// describe it in "The ZUC-256 Stream Cipher" (2018), which is no GM/T.
//
// The arithmetic is gmsm's; here bounds are checked that it leaves to the caller, and what
// would panic there is an error. Each call asks policy.Default: about policy.ZUC, or of ZUC-256
// about policy.ZUC256, which gm-only denies. Before the first use the self-tests run; where one
// fails no function does anything. A key and its IV, or its count, bearer and direction, are
// for one message: two under the same give each other away, and two MACs forge a third.
package zuc
