package study

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"cure/cureml/analysis"
)

// Network reads a network to analyse, named as for [Study.Attack].
func (s *Study) Network(name string) (analysis.Network, error) {
	net, err := s.network(name)
	if err != nil {
		return analysis.Network{}, err
	}
	return analysis.Network{Name: name, State: net.State}, nil
}

// Remember returns what compute finds, from a file of the study if it was computed before under the same name and key.
// The key holds everything that the result depends on, such as the [analysis.Network.Sum] of networks, the name and length of
// a set of images, and all settings. An interrupt ends compute's context.
func Remember[T any](s *Study, name string, key any, compute func(ctx context.Context) (T, error)) (result T, err error) {
	path, err := s.remembered(name, key)
	if err != nil {
		return result, err
	}
	text, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(text, &result); err != nil {
			return result, fmt.Errorf("study: %s: %w", path, err)
		}
		return result, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return result, fmt.Errorf("study: %w", err)
	}
	ctx, cancel := untilInterrupted()
	defer cancel()
	if result, err = compute(ctx); err != nil {
		return result, err
	}
	if text, err = json.Marshal(result); err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = renameio.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return result, fmt.Errorf("study: %w", err)
	}
	return result, nil
}

// remembered is the file of a result.
func (s *Study) remembered(name string, key any) (string, error) {
	text, err := json.Marshal(key)
	if err != nil {
		return "", fmt.Errorf("study: the key of %s: %w", name, err)
	}
	sum := sha256.Sum256(text)
	return filepath.Join(s.Dir, "analyses", fmt.Sprintf("%s-%s.json", name, hex.EncodeToString(sum[:8]))), nil
}
