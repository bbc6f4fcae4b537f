package similarity

import (
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"
	"gonum.org/v1/gonum/mat"
)

// gramColumns is how many features a product on the device takes at once; their sums are in float32, those of the parts
// in float64.
const gramColumns = 4096

// Grams makes Gram matrices on a device, with programs that are compiled once for a shape.
type Grams struct{ exec *Exec }

// NewGrams opens it; Close it after use.
func NewGrams(backend compute.Backend) (*Grams, error) {
	exec, err := NewExec(backend, func(sum, part *Node) *Node {
		return Add(sum, ConvertDType(DotGeneral(part, []int{1}, nil, part, []int{1}, nil), dtypes.Float64))
	})
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	return &Grams{exec}, nil
}

// Close frees the programs.
func (g *Grams) Close() { g.exec.Finalize() }

// LinearGram is [Grams.Linear] for one matrix.
func LinearGram(backend compute.Backend, x []float32, n int) (*mat.SymDense, error) {
	g, err := NewGrams(backend)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	return g.Linear(x, n)
}

// Linear is K = X·Xᵀ [n, n] of the activations x, n rows of the same length, less the mean of each feature, which no CKA
// depends on but which costs float32 its digits.
func (g *Grams) Linear(x []float32, n int) (*mat.SymDense, error) {
	if n < 4 || len(x) == 0 || len(x)%n != 0 {
		return nil, fmt.Errorf("similarity: %d values for %d inputs: want a whole number of features each, and 4 inputs or more", len(x), n)
	}
	width := len(x) / n
	mean := make([]float64, width)
	for i := range n {
		for j, v := range x[i*width : (i+1)*width] {
			mean[j] += float64(v) / float64(n)
		}
	}
	columns := min(width, gramColumns)
	sum := tensors.FromFlatDataAndDimensions(make([]float64, n*n), n, n)
	defer func() { sum.MustFinalizeAll() }()
	part := make([]float32, n*columns)
	for first := 0; first < width; first += columns {
		last := min(first+columns, width)
		for i := range n {
			row := part[i*columns : (i+1)*columns]
			clear(row)
			for j := first; j < last; j++ {
				row[j-first] = float32(float64(x[i*width+j]) - mean[j])
			}
		}
		input := tensors.FromFlatDataAndDimensions(part, n, columns)
		out, err := g.exec.Exec(sum, input)
		input.MustFinalizeAll()
		if err != nil {
			return nil, fmt.Errorf("similarity: %w", err)
		}
		sum.MustFinalizeAll()
		sum = out[0]
	}
	values, err := tensors.CopyFlatData[float64](sum)
	if err != nil {
		return nil, fmt.Errorf("similarity: %w", err)
	}
	k := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			if v := values[i*n+j]; math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("similarity: the activations of input %d or %d hold NaN or Inf", i, j)
			}
			k.SetSym(i, j, values[i*n+j])
		}
	}
	return k, nil
}

// RBFGram is exp(-d²/(2·T²·median d²)) of the squared distances d² that the linear Gram matrix k has; the median is over
// all n² entries, the zero diagonal included, as in the code of the CURE paper (cka/cka_core.py). T, threshold, is 1 there.
func RBFGram(k *mat.SymDense, threshold float64) *mat.SymDense {
	n := k.SymmetricDim()
	d := mat.NewSymDense(n, nil)
	all := make([]float64, 0, n*n)
	for i := range n {
		for j := range n {
			v := math.Max(0, k.At(i, i)+k.At(j, j)-2*k.At(i, j))
			all = append(all, v)
			if j >= i {
				d.SetSym(i, j, v)
			}
		}
	}
	slices.Sort(all)
	median := (all[(n*n-1)/2] + all[n*n/2]) / 2
	for i := range n {
		for j := i; j < n; j++ {
			v := 1.0
			if d.At(i, j) > 0 {
				v = math.Exp(-d.At(i, j) / (2 * threshold * threshold * median)) // median 0: exp(-Inf) = 0
			}
			d.SetSym(i, j, v)
		}
	}
	return d
}
