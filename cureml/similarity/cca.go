package similarity

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// Space is a layer's features prepared for the CCA family. A constant layer has neither of the matrices.
type Space struct {
	inputs, width int
	centred       *mat.Dense // [n, d], features less their mean, of Frobenius norm 1
	u             *mat.Dense // [n, rank], an orthonormal basis of their columns in falling order of singular values
}

// MeanCCA is the mean canonical correlation of two layers' features [n, d1] and [n, d2], over as many as the smaller of
// them has directions.
func MeanCCA(x, y *mat.Dense) (float64, error) {
	return compare(x, y, func(a, b *Space) (float64, error) { return a.MeanCCA(b) })
}

// SVCCA is MeanCCA of the first dims singular directions of both (Raghu et al. 2017).
func SVCCA(x, y *mat.Dense, dims int) (float64, error) {
	return compare(x, y, func(a, b *Space) (float64, error) { return a.SVCCA(b, dims) })
}

// PWCCA is the mean of the canonical correlations weighted by how much of the features of the smaller layer (of the first
// where both are equally wide) each canonical variate h_i explains (Morcos et al. 2018, eq. 7 and 8):
//
//	Σ α_i ρ_i / Σ α_i,   α_i = Σ_j |<h_i, x_j>|
//
// over the centred features x_j.
func PWCCA(x, y *mat.Dense) (float64, error) {
	return compare(x, y, func(a, b *Space) (float64, error) { return a.PWCCA(b) })
}

// Procrustes is |A|² + |B|² - 2|AᵀB|_* of the centred features divided by their Frobenius norms (Ding et al. 2021): how far
// one is from the best rotation of the other, from 0 to 2.
func Procrustes(x, y *mat.Dense) (float64, error) {
	return compare(x, y, func(a, b *Space) (float64, error) { return a.Procrustes(b) })
}

func compare(x, y *mat.Dense, measure func(a, b *Space) (float64, error)) (float64, error) {
	a, err := NewSpace(x)
	if err != nil {
		return 0, err
	}
	b, err := NewSpace(y)
	if err != nil {
		return 0, err
	}
	return measure(a, b)
}

// MeanCCA is the function MeanCCA.
func (a *Space) MeanCCA(b *Space) (float64, error) {
	constant, err := a.check(b)
	if err != nil || constant {
		return 0, err
	}
	return meanOf(correlations(a.u, b.u)), nil
}

// SVCCA is the function SVCCA.
func (a *Space) SVCCA(b *Space, dims int) (float64, error) {
	if dims < 1 {
		return 0, fmt.Errorf("similarity: SVCCA with %d directions: want 1 or more", dims)
	}
	constant, err := a.check(b)
	if err != nil || constant {
		return 0, err
	}
	return meanOf(correlations(first(a.u, dims), first(b.u, dims))), nil
}

// PWCCA is the function PWCCA.
func (a *Space) PWCCA(b *Space) (float64, error) {
	constant, err := a.check(b)
	if err != nil || constant {
		return 0, err
	}
	if b.width < a.width {
		a, b = b, a
	}
	var product mat.Dense
	product.Mul(a.u.T(), b.u)
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDThin) {
		return 0, fmt.Errorf("similarity: the singular values of the canonical correlations did not converge")
	}
	var left, variates, shares mat.Dense
	svd.UTo(&left)
	variates.Mul(a.u, &left)
	shares.Mul(variates.T(), a.centred)
	var sum, weights float64
	for i, rho := range svd.Values(nil) {
		var alpha float64
		for _, v := range shares.RawRowView(i) {
			alpha += math.Abs(v)
		}
		sum += alpha * math.Min(rho, 1)
		weights += alpha
	}
	return sum / weights, nil
}

// Procrustes is the function Procrustes.
func (a *Space) Procrustes(b *Space) (float64, error) {
	constant, err := a.check(b)
	switch {
	case err != nil:
		return 0, err
	case constant && a.centred == b.centred: // both
		return 0, nil
	case constant:
		return 1, nil
	}
	var product mat.Dense
	product.Mul(a.centred.T(), b.centred)
	var svd mat.SVD
	if !svd.Factorize(&product, mat.SVDNone) {
		return 0, fmt.Errorf("similarity: the singular values of the Procrustes problem did not converge")
	}
	var nuclear float64
	for _, s := range svd.Values(nil) {
		nuclear += s
	}
	return math.Max(0, 2-2*nuclear), nil
}

// check reports whether one of the layers is constant.
func (a *Space) check(b *Space) (constant bool, err error) {
	if a.inputs != b.inputs || a.inputs < 2 {
		return false, fmt.Errorf("similarity: features of %d and %d inputs: want the same inputs, 2 or more", a.inputs, b.inputs)
	}
	return a.centred == nil || b.centred == nil, nil
}

// NewSpace prepares features [n, d]; NaN and infinities among them are an error.
func NewSpace(x *mat.Dense) (*Space, error) {
	n, d := x.Dims()
	space := &Space{inputs: n, width: d}
	c := mat.DenseCopyOf(x)
	var scale float64
	for j := range d {
		var mean float64
		for i := range n {
			v := x.At(i, j)
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return nil, fmt.Errorf("similarity: feature %d of input %d is %v", j, i, v)
			}
			mean += v / float64(n)
			scale = math.Max(scale, math.Abs(v))
		}
		for i := range n {
			c.Set(i, j, x.At(i, j)-mean)
		}
	}
	norm := mat.Norm(c, 2)
	if norm <= 1e-13*scale*math.Sqrt(float64(n*d)) {
		return space, nil
	}
	c.Scale(1/norm, c)
	var svd mat.SVD
	if !svd.Factorize(c, mat.SVDThin) {
		return nil, fmt.Errorf("similarity: the singular values of %d features did not converge", d)
	}
	values := svd.Values(nil)
	rank := 0
	for rank < len(values) && values[rank] > 1e-10*values[0] { // dead and repeated features add no direction
		rank++
	}
	var u mat.Dense
	svd.UTo(&u)
	space.centred, space.u = c, first(&u, rank)
	return space, nil
}

// first are the first k columns, or all.
func first(u *mat.Dense, k int) *mat.Dense {
	n, d := u.Dims()
	return u.Slice(0, n, 0, min(k, d)).(*mat.Dense)
}

// correlations are the singular values of UᵀV.
func correlations(u, v *mat.Dense) []float64 {
	var product mat.Dense
	product.Mul(u.T(), v)
	var svd mat.SVD
	svd.Factorize(&product, mat.SVDNone)
	return svd.Values(nil)
}

func meanOf(rho []float64) (mean float64) {
	for _, r := range rho {
		mean += math.Min(r, 1) / float64(len(rho))
	}
	return mean
}
