package study

import (
	"context"

	"cure/cureml/analysis"
)

// Similarity compares the layers of networks, named as for [Study.Attack], on test images. The notebook
// 02_similarity shows it.
func (s *Study) Similarity(names ...string) (*analysis.Similarity, error) {
	nets, sums, err := s.analysed(names)
	if err != nil {
		return nil, err
	}
	size := s.looks()
	set, err := s.looked(size.similar)
	if err != nil {
		return nil, err
	}
	key := []any{sums, set.Name, set.Len(), size.compare}
	return Remember(s, "similarity", key, func(ctx context.Context) (*analysis.Similarity, error) {
		device, err := s.Backend()
		if err != nil {
			return nil, err
		}
		return analysis.CompareLayers(ctx, device, nets, set, size.compare)
	})
}

// analysed are networks to analyse, with short names and what tells their weights apart.
func (s *Study) analysed(names []string) (nets []analysis.Network, sums []string, err error) {
	for _, name := range names {
		net, err := s.Network(name)
		if err != nil {
			return nil, nil, err
		}
		net.Name = shortName(name)
		nets, sums = append(nets, net), append(sums, net.Name, net.Sum())
	}
	return nets, sums, nil
}
