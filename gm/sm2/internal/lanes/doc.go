// Package lanes is arithmetic on SM2's curve in eight lanes at a time: eight points side
// by side, or one sum of many points, split over the lanes.
//
// Elements of the field are five limbs of 52 bits (radix 2^52), the least first, each of
// them for eight lanes, in Montgomery's form to 2^260, and less than 2p. Points are in
// Jacobian coordinates, (x/z², y/z³). The additions are incomplete: where two points are
// the same, or each other's negative, or one is at infinity, z becomes 0 and stays so. Who
// sums points that others choose must look at z in the end, and go another way if it is 0.
//
// Nothing here has a branch or an address that depends on a scalar or a point.
package lanes
