package attacks

// NRR is the natural-robust ratio of the CURE paper (ICLR 2024): the harmonic mean 2 nat adv / (nat + adv) of natural
// and robust accuracy, in the unit of its arguments, and 0 where both are 0.
func NRR(nat, adv float64) float64 {
	if nat+adv == 0 {
		return 0
	}
	return 2 * nat * adv / (nat + adv)
}
