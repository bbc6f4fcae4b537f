package cureml

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strings"

	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

	"cure/cureml/nn"
	"cure/cureml/zoo"
	"cure/data"
)

// Network is one beside the student. Role names its tensors in memory and its file in the run folder.
type Network struct {
	Role string
	Kind NetworkKind
	// Arch is that of a Partner; the zero value is the student's.
	Arch nn.Arch
	// From are the weights of a Frozen network: a run folder, a file or zoo:NAME.
	From string
	// Decay is the d of an Average at a step: θ_avg <- d·θ_avg + (1-d)·θ; 1 leaves it as it is.
	Decay func(p Progress) float64
	// Stats says where an Average has its running statistics from: own (its own passes in mode T), copied (the student's, at
	// every update) or averaged (like weights).
	Stats string
}

// NetworkKind is how a network moves.
type NetworkKind int

const (
	// Frozen is a teacher.
	Frozen NetworkKind = iota
	// Partner is trained beside the student, from other random weights, by SGD with the student's settings.
	Partner
	// Average follows the student.
	Average
)

// role is a network in memory.
type role struct {
	Network
	list []nn.Tensor
}

// open returns the start of a network for a run of cfg whose student starts from start.
func (n Network) open(cfg Config, start *nn.State) (s *nn.State, warnings []string, err error) {
	switch n.Kind {
	case Average:
		return start, nil, nil
	case Partner:
		a := n.Arch
		if a.Name == "" {
			a = cfg.Arch
		}
		s, err = nn.Init(a, data.Stream(cfg.Seed, "network/"+n.Role).Uint64())
		return s, nil, err
	}
	if n.From == "" {
		return nil, nil, fmt.Errorf("cureml: method %s has no %s: name a run folder, a weights file or zoo:NAME", cfg.Method, strings.ReplaceAll(n.Role, "_", " "))
	}
	s, warnings, err = LoadTeacher(n.From)
	if err == nil && s.Arch.Classes != cfg.Arch.Classes {
		err = fmt.Errorf("cureml: the %s %s has %d classes, the student %d", strings.ReplaceAll(n.Role, "_", " "), n.From, s.Arch.Classes, cfg.Arch.Classes)
	}
	return s, warnings, err
}

// checkTeachers opens the frozen networks that the method learns from, so that a run which lacks one ends before it has
// made its folder.
func (c Config) checkTeachers() error {
	m, err := NewMethod(c)
	if err != nil {
		return err
	}
	for _, n := range m.Networks {
		if n.Kind != Frozen {
			continue
		}
		if _, _, err := n.open(c, nil); err != nil {
			return err
		}
	}
	return nil
}

// LoadTeacher reads a network whatever its architecture: the student of a run folder, a file, or a shipped one as
// zoo:NAME. warnings tells of values that make no sense.
func LoadTeacher(ref string) (s *nn.State, warnings []string, err error) {
	if IsRun(ref) {
		saved, err := LoadRun(ref, Student)
		if err != nil {
			return nil, nil, err
		}
		return saved.State, saved.Warnings, nil
	}
	if name, shipped := strings.CutPrefix(ref, ZooPrefix); shipped {
		s, err = zoo.Load(name)
		return s, nil, err
	}
	return nn.OpenFile(ref)
}

// fingerprint tells frozen networks apart, so that a run resumes with the teachers that it began with.
func fingerprint(s *nn.State) string {
	h := sha256.New()
	var word [4]byte
	for _, t := range s.Tensors {
		for _, v := range s.Values[t.Name] {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// follow moves an average after an update of the student.
func (n Network) follow(f *Frame, list []nn.Tensor) {
	decay, net := f.Scalar("decay/"+n.Role), f.Nets[n.Role]
	for _, t := range list {
		own, student := net.Vars[t.Name], f.Student.Vars[t.Name]
		switch {
		case t.Kind.Trainable() || n.Stats == "averaged":
			net.Vars[t.Name] = Add(Mul(own, decay), Mul(student, OneMinus(decay)))
		case n.Stats == "copied":
			net.Vars[t.Name] = Where(LessThan(decay, ScalarOne(decay.Graph(), decay.DType())), student, own)
		}
	}
}
