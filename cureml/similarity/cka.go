package similarity

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// CKA is <HKH, HLH> / (|HKH| |HLH|) with H = I - 1/n, the biased estimate (Kornblith et al. 2019, eq. 4), of two Gram
// matrices [n, n] on the same inputs. It is in [0, 1], and 0 where one of them is constant.
func CKA(k, l *mat.SymDense) float64 {
	a, b := centred(k), centred(l)
	return ratio(inner(a, b), inner(a, a), inner(b, b))
}

// UnbiasedCKA is the same with the unbiased estimate of HSIC (Song et al. 2012, eq. 5; the ratio is that of U-centred
// matrices, Székely and Rizzo 2014). It is 0 in the mean for independent representations, and may be below 0. n is 4 or
// more.
func UnbiasedCKA(k, l *mat.SymDense) float64 {
	n := k.SymmetricDim()
	return ratio(unbiasedHSIC(k, l, 0, n), unbiasedHSIC(k, k, 0, n), unbiasedHSIC(l, l, 0, n))
}

// MinibatchCKA averages the unbiased HSIC over consecutive batches of the inputs before the ratio (Nguyen et al. 2021,
// eq. 3), as similarity.py of the CURE paper does; a short last batch counts as much as the others, and is left out below
// 4 inputs.
func MinibatchCKA(k, l *mat.SymDense, batch int) (float64, error) {
	n := k.SymmetricDim()
	if batch < 4 || batch > n {
		return 0, fmt.Errorf("similarity: batches of %d of %d inputs: want 4 to %d", batch, n, n)
	}
	var kl, kk, ll float64
	for first := 0; first+4 <= n; first += batch {
		last := min(first+batch, n)
		kl += unbiasedHSIC(k, l, first, last)
		kk += unbiasedHSIC(k, k, first, last)
		ll += unbiasedHSIC(l, l, first, last)
	}
	return ratio(kl, kk, ll), nil
}

// ratio is kl / sqrt(kk·ll), 0 where one representation is constant.
func ratio(kl, kk, ll float64) float64 {
	if !(kk > 0) || !(ll > 0) {
		return 0
	}
	return kl / math.Sqrt(kk) / math.Sqrt(ll)
}

// from is row i of k from the diagonal to column last-1.
func from(k *mat.SymDense, i, last int) []float64 {
	raw := k.RawSymmetric()
	return raw.Data[i*raw.Stride+i : i*raw.Stride+last]
}

// centred is HKH.
func centred(k *mat.SymDense) *mat.SymDense {
	n := k.SymmetricDim()
	means := make([]float64, n)
	for i := range n {
		for j, v := range from(k, i, n) {
			means[i] += v / float64(n)
			if j > 0 {
				means[i+j] += v / float64(n)
			}
		}
	}
	var all float64
	for _, v := range means {
		all += v / float64(n)
	}
	c := mat.NewSymDense(n, nil)
	var largest, smallest float64
	for i := range n {
		row, out := from(k, i, n), from(c, i, n)
		largest = math.Max(largest, math.Abs(row[0]))
		for j, v := range row {
			out[j] = v - means[i] - means[i+j] + all
			smallest = math.Max(smallest, math.Abs(out[j]))
		}
	}
	if smallest <= 1e-13*largest { // rounding of a constant matrix
		c.Zero()
	}
	return c
}

func inner(a, b *mat.SymDense) (sum float64) {
	n := a.SymmetricDim()
	for i := range n {
		x, y := from(a, i, n), from(b, i, n)
		sum -= x[0] * y[0]
		for j, v := range x {
			sum += 2 * v * y[j]
		}
	}
	return sum
}

// unbiasedHSIC of the inputs first to last-1, m of them, with K and L without their diagonals:
//
//	[tr(KL) + 1ᵀK1·1ᵀL1/((m-1)(m-2)) - 2·1ᵀKL1/(m-2)] / (m(m-3))
//
// The entries are first moved by their mean, which changes nothing but the rounding.
func unbiasedHSIC(k, l *mat.SymDense, first, last int) float64 {
	m := float64(last - first)
	shiftK, shiftL := offDiagonalMean(k, first, last), offDiagonalMean(l, first, last)
	rowsK, rowsL := make([]float64, last-first), make([]float64, last-first)
	var trace, sizeK, sizeL float64
	for i := range rowsK {
		y := from(l, first+i, last)
		for j, v := range from(k, first+i, last) {
			if j == 0 {
				continue
			}
			a, b := v-shiftK, y[j]-shiftL
			trace += 2 * a * b
			rowsK[i] += a
			rowsK[i+j] += a
			rowsL[i] += b
			rowsL[i+j] += b
			sizeK, sizeL = max(sizeK, a, -a), max(sizeL, b, -b)
		}
	}
	if sizeK <= 1e-13*math.Abs(shiftK) || sizeL <= 1e-13*math.Abs(shiftL) {
		return 0
	}
	var sumK, sumL, cross float64
	for i, v := range rowsK {
		sumK += v
		sumL += rowsL[i]
		cross += v * rowsL[i]
	}
	return (trace + sumK*sumL/((m-1)*(m-2)) - 2*cross/(m-2)) / (m * (m - 3))
}

func offDiagonalMean(k *mat.SymDense, first, last int) float64 {
	var sum float64
	for i := first; i < last; i++ {
		for _, v := range from(k, i, last)[1:] {
			sum += v
		}
	}
	m := float64(last - first)
	return 2 * sum / (m * (m - 1))
}
