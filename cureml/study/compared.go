package study

import (
	"strings"

	"cure/cureml"
	"cure/cureml/analysis"
)

// Compared names the networks that the notebooks compare, for [Study.Attack] and its like: the shipped ones, and in preset
// paper the runs natural, trades and cure of the quickstart, which are trained where they are not finished.
func (s *Study) Compared() ([]string, error) {
	if s.Name != "paper" {
		return []string{cureml.ZooPrefix + "natural", cureml.ZooPrefix + "trades", cureml.ZooPrefix + "cure"}, nil
	}
	names := []string{"natural", "trades", "cure"}
	for _, name := range names {
		c := s.Config(name)
		if name == "cure" {
			c.Init = s.Final("natural")
		}
		if _, err := s.Train(name, c, nil); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// networksOf reads networks to analyse, the shipped ones without the prefix in their names.
func (s *Study) networksOf(names []string) ([]analysis.Network, error) {
	var nets []analysis.Network
	for _, name := range names {
		n, err := s.Network(name)
		if err != nil {
			return nil, err
		}
		n.Name = strings.TrimPrefix(n.Name, cureml.ZooPrefix)
		nets = append(nets, n)
	}
	return nets, nil
}

// sumsOf stands for networks in the key of [Remember].
func sumsOf(nets []analysis.Network) (sums []string) {
	for _, n := range nets {
		sums = append(sums, n.Name, n.Sum())
	}
	return sums
}
