package study

import "cure/cureml"

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
