package main

import (
	"testing"

	"github.com/spf13/pflag"

	"cure/attacks"
)

// TestStepsAndQueries: --steps goes to the attacks by gradients and --queries to square, in ensembles too; those not typed
// leave the presets alone.
func TestStepsAndQueries(t *testing.T) {
	for _, c := range []struct {
		args           []string
		steps, queries int
	}{
		{nil, 100, 5000},
		{[]string{"--steps", "10"}, 10, 5000},
		{[]string{"--queries", "200"}, 100, 200},
		{[]string{"--steps", "10", "--queries", "200"}, 10, 200},
	} {
		var f attackFlags
		typed := pflag.NewFlagSet("eval", pflag.ContinueOnError)
		f.add(typed)
		if err := typed.Parse(append([]string{"--attack", "autoattack,square,apgd-ce"}, c.args...)); err != nil {
			t.Fatal(err)
		}
		list, err := f.parse(typed)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, a := range append(list[0].Method.(attacks.Ensemble).Stages, list[1:]...) {
			got, want := 0, c.steps
			switch m := a.Method.(type) {
			case attacks.APGD:
				got = m.Steps
			case attacks.FAB:
				got = m.Steps
			case attacks.SquareAttack:
				got, want = m.Queries, c.queries
			}
			if seen++; got != want {
				t.Errorf("%v: %s has %d, want %d", c.args, a.Name, got, want)
			}
		}
		if seen != 6 {
			t.Errorf("%v: %d attacks, want the four of autoattack and two", c.args, seen)
		}
	}
}
