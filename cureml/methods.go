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
	"natural": {build: Natural},

	// The rows of the published table.
	"at":         {build: AT, tune: tuneAT, check: checkAT},
	"trades":     {build: Trades, tune: tuneTrades, check: checkTrades},
	"mart":       {build: Mart, tune: tuneMart, check: checkMart},
	"fat":        {build: FAT, tune: tuneFAT, check: func(c Config) error { return first(checkAT(c), checkFace(c), checkFAT(c)) }},
	"fat-trades": {build: FATTrades, tune: tuneFATTrades, check: checkFATTrades},
	"fat-mart":   {build: FATMart, tune: tuneFATMart, check: checkFATMart},
	"st-at":      {build: ST, tune: tuneST, check: checkST},
	"act":        {build: ACT, tune: tuneAct, check: checkAct},
	"ard":        {build: ARD, tune: tuneArd, check: checkArd},
	"akd2":       {build: AKD2, tune: tuneAkd2, check: checkAkd2},
	"iad-1":      {build: IAD1, tune: tuneIad1, check: checkIad1},
	"iad-2":      {build: IAD2, tune: tuneIad2, check: checkIad2},
	"las-at":     {build: Las, tune: tuneLas, check: checkLas},
	"las-trades": {build: Las, tune: tuneLas, check: checkLas},
	"cure":       {build: CURE, tune: tuneCure, check: checkCure},
	"cure-eff":   {build: CURE, tune: tuneCure, check: checkCure},

	// Further ones that its readers know.
	"fast-at":         {build: FastAT, tune: tuneFast, check: func(c Config) error { return first(checkAT(c), checkFace(c)) }},
	"free-at":         {build: FreeAT, tune: tuneFree, check: checkFree},
	"hat":             {build: HAT, tune: tuneHat, check: checkHat},
	"lbgat":           {build: LBGAT, tune: tuneLbgat, check: checkLbgat},
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
	switch {
	case c.AWP.Gamma > 0:
		m = c.AWP.wrap(m)
	case c.RWP.Gamma > 0:
		return c.RWP.wrap(m, c)
	}
	return m, nil
}

// unwrapped is c without a perturbation of weights, and the epoch from which on c has one, -1 for never.
func (c Config) unwrapped() (plain Config, from int) {
	plain = c
	plain.AWP, plain.RWP = AWPConfig{}, RWPConfig{}
	switch {
	case c.AWP.Gamma > 0:
		return plain, c.AWP.Start
	case c.RWP.Gamma > 0:
		return plain, c.RWP.Start
	}
	return plain, -1
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

// BudgetOf gives the attack of c the default eps and step size of another method, for a comparison in the same budget.
func (c *Config) BudgetOf(method string) {
	d := Defaults(method).Attack
	c.Attack.Eps, c.Attack.StepSize = d.Eps, d.StepSize
}

// network says whether m keeps a network of this role beside the student.
func (m Method) network(role string) bool {
	return slices.ContainsFunc(m.Networks, func(n Network) bool { return n.Role == role })
}

// phase is a part of a run with a method of its own, from an epoch (counted from 0) on.
type phase struct {
	from   int
	method Method
	// since is the epoch from which on the method counts its steps (Progress.Start): an earlier one than from where the
	// phase before differs from it in a wrapper only.
	since int
	// copies are averages that become copies of the student when the phase begins.
	copies []string
}

// phases are what a run of m does in turn.
func (c Config) phases(m Method) ([]phase, error) {
	list := []phase{{method: m}}
	if warmup := c.warmup(); warmup > 0 && m.network(Revision) {
		natural := Natural(c)
		if c.Average.Decay > 0 {
			natural.Networks = append(natural.Networks, c.Average.network())
		}
		list = []phase{{method: natural}, {from: warmup, since: warmup, method: m, copies: []string{Revision}}}
	}
	last := &list[len(list)-1]
	plain, from := c.unwrapped()
	if from <= last.from {
		return list, nil
	}
	var err error
	if last.method, err = NewMethod(plain); err != nil {
		return nil, err
	}
	return append(list, phase{from: from, since: last.since, method: m}), nil
}
