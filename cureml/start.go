package cureml

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cure/cureml/nn"
	"cure/cureml/zoo"
)

// ZooPrefix marks a reference to the shipped networks: zoo:natural.
const ZooPrefix = "zoo:"

// LoadWeights reads a network from a file (safetensors, .pt, .pth), or from the shipped ones as zoo:NAME. The arch of the
// result is the file's where that says more than a: normalisation inside the network, an older form. warnings tells of
// values that make no sense and of forms that the file leaves open.
func LoadWeights(a nn.Arch, ref string) (s *nn.State, warnings []string, err error) {
	name, shipped := strings.CutPrefix(ref, ZooPrefix)
	if !shipped {
		return nn.LoadFile(a, ref)
	}
	if s, err = zoo.Load(name); err != nil {
		return nil, nil, err
	}
	if s.Arch.Name != a.Name || s.Arch.Width != a.Width || s.Arch.Classes != a.Classes {
		return nil, nil, fmt.Errorf("cureml: %s is a %s with %d classes, not a %s with %d", ref, s.Arch, s.Arch.Classes, a, a.Classes)
	}
	return s, nil, nil
}

// startState is what a run in dir starts from: random weights, or those of c.Init, whose form c.Arch then takes. A run
// that has a checkpoint needs its start weights no more: only the shapes count.
func startState(c *Config, dir string, out io.Writer) (*nn.State, error) {
	if c.Init == "" {
		return nn.Init(c.Arch, c.Seed)
	}
	if old, err := ReadConfig(dir); err == nil {
		if _, err := os.Stat(filepath.Join(dir, checkpointFile)); err == nil {
			if old.Arch.Name == c.Arch.Name+"-swish" {
				c.Arch.Name = old.Arch.Name
			}
			c.Arch.Mean, c.Arch.Std, c.Arch.NoFinalBN = old.Arch.Mean, old.Arch.Std, old.Arch.NoFinalBN
			return nn.Init(c.Arch, c.Seed)
		}
	}
	s, warnings, err := LoadWeights(c.Arch, c.Init)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		if out != nil {
			fmt.Fprintln(out, "warning:", w)
		}
	}
	c.Arch = s.Arch
	c.reinit(s)
	return s, nil
}
