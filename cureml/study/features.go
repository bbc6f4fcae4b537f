package study

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"cure/cureml"
	"cure/cureml/analysis"
	"cure/data"
)

// shortName is a network's name in pictures: natural of zoo:natural.
func shortName(name string) string { return strings.TrimPrefix(name, cureml.ZooPrefix) }

// Features looks at what networks, named as for [Study.Attack], use of images; its Sets are nil. The notebook 03_features
// shows it.
func (s *Study) Features(names ...string) (*analysis.Features, error) {
	nets, sums, err := s.analysed(names)
	if err != nil {
		return nil, err
	}
	size := s.looks()
	set, err := s.looked(size.measured)
	if err != nil {
		return nil, err
	}
	key := []any{sums, set.Name, set.Len(), size.features}
	return Remember(s, "features", key, func(ctx context.Context) (*analysis.Features, error) {
		device, err := s.Backend()
		if err != nil {
			return nil, err
		}
		return analysis.LookAtFeatures(ctx, device, nets, set, size.features)
	})
}

// FeatureSets splits what the networks use into training sets of robust and of non-robust features, and trains the
// study's network naturally on each: runs in the folder features. each, which may be nil, is called as by [Study.Train],
// with the name of the set.
func (s *Study) FeatureSets(robust, natural string, each func(set string, l Line)) (*analysis.FeatureSets, error) {
	nets, sums, err := s.analysed([]string{robust, natural})
	if err != nil {
		return nil, err
	}
	sets, err := s.Sets()
	if err != nil {
		return nil, err
	}
	size := s.looks()
	if sets.Train, err = first(sets.Train, size.learn); err != nil {
		return nil, err
	}
	opt, config := size.sets, s.Config("natural")
	if size.epochs > 0 {
		config.Epochs = size.epochs
	}
	config.Batch = min(config.Batch, sets.Train.Len())
	opt.Keep = s.Run("features")
	key := []any{sums, sets.Train.Name, sets.Train.Len(), sets.Test.Name, sets.Test.Len(), opt, config}
	return Remember(s, "feature-sets", key, func(ctx context.Context) (*analysis.FeatureSets, error) {
		device, err := s.Backend()
		if err != nil {
			return nil, err
		}
		learn := func(_ context.Context, name string, set *data.Set) (analysis.Network, error) {
			return s.learn(name, config, cureml.Sets{Train: set, Test: sets.Test}, each)
		}
		return analysis.LearnFeatures(ctx, device, nets[0], nets[1], sets.Train, sets.Test, opt, learn)
	})
}

// learn trains on other images than the study's, in a folder whose name stands for them.
func (s *Study) learn(name string, c cureml.Config, sets cureml.Sets, each func(set string, l Line)) (analysis.Network, error) {
	h := sha256.New()
	h.Write(sets.Train.Images)
	for _, y := range sets.Train.Labels {
		h.Write([]byte{byte(y), byte(y >> 8)})
	}
	run := filepath.Join("features", fmt.Sprintf("%s-%s", name, hex.EncodeToString(h.Sum(nil)[:4])))
	c.Data = sets.Train.Name
	part := &Study{Preset: s.Preset, Dir: s.Dir, device: s.device, sets: sets}
	if _, err := part.Train(run, c, func(l Line) {
		if each != nil {
			each(name, l)
		}
	}); err != nil {
		return analysis.Network{}, err
	}
	return part.Network(run)
}
