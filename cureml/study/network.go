package study

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cure/attacks"
	"cure/cureml"
	"cure/cureml/nn"
	"cure/cureml/zoo"
	"cure/data"
)

// network is what attacks are measured on.
type network struct {
	*nn.State
	name    string
	weights string // as reports name them
}

// network reads the final weights of a run, a shipped network, zoo:NAME, or one of [Study.Add].
func (s *Study) network(name string) (*network, error) {
	if own, ok := s.added[name]; ok {
		return own, nil
	}
	if shipped, ok := strings.CutPrefix(name, cureml.ZooPrefix); ok {
		state, err := zoo.Load(shipped)
		return &network{state, name, name}, err
	}
	if !exists(s.Final(name)) {
		return nil, fmt.Errorf("study: the run %s is not finished: it has no final weights yet (accepted are finished runs, zoo:NAME, and names of Study.Add)", s.Run(name))
	}
	saved, err := cureml.LoadRun(s.Run(name), cureml.Student)
	if err == nil && len(saved.Warnings) > 0 {
		err = errors.New("study: " + saved.Warnings[0])
	}
	if err != nil {
		return nil, err
	}
	return &network{saved.State, name, s.Final(name)}, nil
}

// file is where a measurement of the network lies: in its folder, under a name that stands for everything that the
// measurement depends on.
func (s *Study) file(net *network, pattern string, set *data.Set, list []attacks.Attack) (string, error) {
	h := sha256.New()
	err := json.NewEncoder(h).Encode([]any{net.Arch, set.Name, set.Split, set.Len(), list})
	for _, t := range net.Tensors {
		err = errors.Join(err, binary.Write(h, binary.LittleEndian, net.Values[t.Name]))
	}
	dir := s.Run(strings.ReplaceAll(net.name, ":", "-"))
	if err = errors.Join(err, os.MkdirAll(dir, 0o755)); err != nil {
		return "", fmt.Errorf("study: %w", err)
	}
	return filepath.Join(dir, fmt.Sprintf(pattern, hex.EncodeToString(h.Sum(nil))[:16])), nil
}

// model puts the network on the device.
func (s *Study) model(net *network) (attacks.Model, error) {
	device, err := s.Backend()
	if err != nil {
		return attacks.Model{}, err
	}
	return cureml.HostModel(device, net.State), nil
}

// free gives the weights on the device back.
func free(m attacks.Model) {
	for _, w := range m.Weights {
		_ = w.FinalizeAll() // there is nothing to do about a buffer that does not go
	}
}
