// Package zoo holds small trained networks, so that notebooks and first experiments start from real features instead of
// random ones. They were trained with the project's own commands on a JPEG copy of CIFAR-10's 50,000 training images
// (quality 75, about 30 dB): numbers obtained with them are of "CIFAR-10 (JPEG copy)" and are not to be set beside
// published ones. results/zoo-NAME.json says for each network how it was trained and what it measured.
//
// The files are PyTorch state dicts of a ResNet-18 of base width 16 (names of kuangliu/pytorch-cifar), [0,1] inputs, packed
// by ./internal/pack.
package zoo

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"cure/cureml/nn"
	"cure/cureml/weights"
	"cure/cureml/zoo/internal/planes"
)

// Width is the base width of every network here.
const Width = 16

//go:embed *.planes.gz
var files embed.FS

const packed = ".planes.gz"

// Names lists the networks, sorted.
func Names() []string {
	entries, _ := files.ReadDir(".") // an embedded folder cannot fail to open
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), packed))
	}
	slices.Sort(names)
	return names
}

// File is a network by its name, as a safetensors file.
func File(name string) ([]byte, error) {
	text, err := files.ReadFile(name + packed)
	if err != nil || !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("zoo: unknown network %q: accepted are %s", name, strings.Join(Names(), ", "))
	}
	file, err := planes.Unpack(text)
	if err != nil {
		return nil, fmt.Errorf("zoo: %s: %w", name, err)
	}
	return file, nil
}

// Load reads a network by its name.
func Load(name string) (*nn.State, error) {
	file, err := File(name)
	if err != nil {
		return nil, err
	}
	d, err := weights.ReadSafetensors(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, fmt.Errorf("zoo: %s: %w", name, err)
	}
	arch, err := nn.Parse("resnet18", Width, 10)
	if err != nil {
		return nil, err
	}
	return nn.Load(arch, d)
}
