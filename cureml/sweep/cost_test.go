package sweep

import (
	"math"
	"testing"
)

func TestCost(t *testing.T) {
	hundred := 100
	g := Grid{Preset: "mini", Methods: []string{"trades"}, AutoAttack: &hundred, Attacks: []string{"ddn"}, Shard: 500}
	s := create(t, g)
	forward, err := s.Tasks[0].Arch.MACs()
	if err != nil {
		t.Fatal(err)
	}
	const held = 509. // a tenth of 5,085, rounded
	for i, want := range map[int]float64{
		0: 6 * (27*(5085-held) + held*22), // 6 epochs: TRADES steps, then PGD-10 on validation images
		1: 500 * (1 + 42 + 42),            // PGD-20, C&W-20
		3: 17 * (1 + 42 + 42),
		7: 100 * 9767, // AutoAttack, as attacks.OfficialPasses has it
		8: math.NaN(),
	} {
		cost, err := s.Cost(s.Tasks[i])
		if got := cost / 2 / float64(forward); err != nil || math.Abs(got-want) > 1e-6*want || math.IsNaN(got) != math.IsNaN(want) {
			t.Errorf("%s: %g forward passes (%v), want %g", s.Tasks[i].Name, got, err, want)
		}
	}
	// Measured: 82.2 images a second in TRADES steps of this network.
	cost, err := s.Cost(s.Tasks[0])
	if minutes, steps := cost/DefaultGFLOPS/6e10, 6*4576/82.2/60; err != nil || minutes < steps || minutes > 1.2*steps {
		t.Errorf("%.1f minutes for TRADES (%v), its steps alone take %.1f", minutes, err, steps)
	}
}
