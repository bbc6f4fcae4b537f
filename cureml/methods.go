package cureml

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// recipe is what the table of methods knows of one: how it is built, what it changes in the common defaults, and what is
// wrong with its settings. tune and check may be nil.
type recipe struct {
	build func(Config) Method
	tune  func(*Config)
	check func(Config) error
}

var methods = map[string]recipe{
	"natural":  {build: Natural},
	"at":       {build: AT, tune: tuneAT, check: checkAT},
	"trades":   {build: Trades, tune: tuneTrades, check: checkTrades},
	"cure":     {build: CURE, tune: tuneCure, check: checkCure},
	"cure-eff": {build: CURE, tune: tuneCure, check: checkCure},

	"score":           {build: Score, tune: tuneScore, check: checkScore},
	"score-trades":    {build: ScoreTrades, tune: tuneScoreTrades, check: checkScore},
	"score-generated": {build: ScoreGenerated, tune: tuneScoreGenerated, check: checkScore},
	"dafa":            {build: DAFA, tune: tuneDafa, check: checkDafa},
	"adr":             {build: ADR, tune: tuneAdr, check: checkAdr},
	"adr-trades":      {build: ADRTrades, tune: tuneAdr, check: checkAdr},
}

// MethodNames lists the methods, sorted.
func MethodNames() []string { return slices.Sorted(maps.Keys(methods)) }

// NewMethod builds the method that c names.
func NewMethod(c Config) (Method, error) {
	r, err := recipeOf(c.Method)
	if err != nil {
		return Method{}, err
	}
	m := r.build(c)
	m.Name = c.Method
	if c.Average.Decay > 0 {
		m.Networks = append(m.Networks, c.Average.network())
	}
	return m, nil
}

func recipeOf(name string) (recipe, error) {
	r, ok := methods[name]
	if !ok {
		return r, fmt.Errorf("cureml: unknown method %q: accepted are %s", name, strings.Join(MethodNames(), ", "))
	}
	return r, nil
}

// exactEighths is the budget of methods whose codes use 8/255 and 2/255; the others use 0.031 and 0.007.
func exactEighths(c *Config) { c.Attack.Eps, c.Attack.StepSize = 8.0/255, 2.0/255 }

// network says whether m keeps a network of this role beside the student.
func (m Method) network(role string) bool {
	return slices.ContainsFunc(m.Networks, func(n Network) bool { return n.Role == role })
}

// phase is a part of a run with a method of its own, from an epoch (counted from 0) on.
type phase struct {
	from   int
	method Method
	// copies are averages that become copies of the student when the phase begins.
	copies []string
}

// phases are what a run of m does in turn.
func (c Config) phases(m Method) []phase {
	if warmup := c.warmup(); warmup > 0 && m.network(Revision) {
		return []phase{{method: Natural(c)}, {from: warmup, method: m, copies: []string{Revision}}}
	}
	return []phase{{method: m}}
}
