package analysis

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"cure/cureml/nn"
	"cure/viz"
)

// Network is a trained network and the name that tables and legends give it.
type Network struct {
	Name string
	*nn.State
}

// Sum stands for the form and the weights of the network.
func (n Network) Sum() string {
	h := sha256.New()
	h.Write([]byte(n.Arch.String()))
	var word [4]byte
	for _, t := range n.Tensors {
		for _, v := range n.Values[t.Name] {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			h.Write(word[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Result is what an analysis found. Its fields hold the numbers; JSON has no NaN and no infinity, so none of them is one.
type Result interface {
	Tables() []*viz.Table
	Pictures() ([]Picture, error)
}

// Picture is a figure and its name, of which a file name is made: lower case, words joined by hyphens.
type Picture struct {
	Name string
	*viz.Figure
}
