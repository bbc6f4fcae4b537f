package attacks

import (
	"math"
	"math/rand/v2"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph"
)

// lobes is the pattern that Square adds in L2 and L1, on a window of side x side: the upper half holds a stack of nested
// rectangles of heights 1/k^power around its middle, k = 1, 2, ..., so that the value falls with the distance from the
// middle; the lower half holds the negative of such a stack. Each half has the same norm, and both together have norm 1.
// A window of side 1 is all lower half.
type lobes struct {
	side, half int        // of the window; rows of its upper half
	top        [2]int     // rows of the middles of the two stacks
	middle     int        // the column of both
	scale      [2]float64 // of the two stacks
}

// power is how fast the rectangles of a stack get flatter.
func (b Ball) power() float64 {
	if b.Norm == L1 {
		return 4
	}
	return 2
}

// newLobes is the pattern of unit norm of a side.
func (b Ball) newLobes(side int) lobes {
	half := side / 2
	p := lobes{side: side, half: half, top: [2]int{half / 2, half + (side-half)/2}, middle: half, scale: [2]float64{1, 1}}
	var sizes [2]float64
	for i := range side {
		for j := range side {
			v := math.Abs(p.at(b, i, j))
			if b.Norm != L1 {
				v *= v
			}
			sizes[p.part(i)] += v
		}
	}
	total, sign := 0., 1.
	for k, size := range sizes {
		if size > 0 {
			total++
		}
		if b.Norm != L1 {
			size = math.Sqrt(size)
		}
		p.scale[k] = sign / max(size, smallestNorm)
		sign = -1
	}
	if b.Norm != L1 {
		total = math.Sqrt(total)
	}
	p.scale[0], p.scale[1] = p.scale[0]/total, p.scale[1]/total
	return p
}

// part is the half of the window that row i lies in.
func (p lobes) part(i int) int {
	if i < p.half {
		return 0
	}
	return 1
}

// at is the value at row i and column j of the window.
func (p lobes) at(b Ball, i, j int) (value float64) {
	away := func(i, j int) int { return max(i-j, j-i) }
	half := p.part(i)
	for k := max(away(i, p.top[half]), away(j, p.middle)); k <= p.middle; k++ {
		value += 1 / math.Pow(float64(k+1), b.power())
	}
	return value * p.scale[half]
}

// grid fills dst, one image [H, W, C], with the start in L2 or L1: patches of a fifth of the shorter side hold a pattern
// each, transposed with probability 1/2, with one random sign per channel. In L2 the whole has length eps; in L1 each patch
// has norm 1 in each channel, for the projection to cut.
func (s SquareAttack) grid(dst []float32, image [3]int, rng *rand.Rand) {
	height, width, channels := image[0], image[1], image[2]
	side := max(min(height, width)/5, 1)
	pattern := s.Ball.newLobes(side)
	values := make([]float64, len(dst))
	signs := make([]float64, channels)
	var squares float64
	for top := height % side / 2; top+side <= height; top += side {
		for left := width % side / 2; left+side <= width; left += side {
			turned := rng.IntN(2) == 1
			for c := range signs {
				signs[c] = float64(2*rng.IntN(2) - 1)
			}
			for i := range side {
				for j := range side {
					value := pattern.at(s.Ball, i, j)
					if turned {
						value = pattern.at(s.Ball, j, i)
					}
					for c, sign := range signs {
						values[((top+i)*width+left+j)*channels+c] = sign * value
						squares += value * value
					}
				}
			}
		}
	}
	scale := 1.
	if s.Ball.Norm == L2 {
		scale = s.Ball.Eps / math.Sqrt(squares)
	}
	for i, v := range values {
		dst[i] = float32(v * scale)
	}
}

// stripes fills dst, one image [H, W, C], with the start in Linf: columns of ±eps, one random sign per column and channel.
func (s SquareAttack) stripes(dst []float32, image [3]int, rng *rand.Rand) {
	row := image[1] * image[2]
	for i := range row {
		dst[i] = float32(s.Ball.Eps * float64(2*rng.IntN(2)-1))
	}
	for i := row; i < len(dst); i++ {
		dst[i] = dst[i-row]
	}
}

// window is the rows and columns of the pixels of images [B, H, W, C], counted from the corner of a window, and whether
// they lie in it: int32 and Bool [B, H, W]. top, left and side are int32 [B, 1, 1].
func window(images, top, left, side *Node) (i, j, inside *Node) {
	shape := shapes.Make(dtypes.Int32, images.Shape().Dimensions[:3]...)
	i = Sub(Iota(images.Graph(), shape, 1), top)
	j = Sub(Iota(images.Graph(), shape, 2), left)
	zero := ZerosLike(i)
	inside = LogicalAnd(LogicalAnd(GreaterOrEqual(i, zero), LessThan(i, side)), LogicalAnd(GreaterOrEqual(j, zero), LessThan(j, side)))
	return i, j, inside
}

// pattern is lobes in all rows of a plan: float64 [B, H, W], zero outside the windows.
func (b Ball) pattern(images *Node, plan squarePlan) *Node {
	i, j, inside := window(images, plan.whole(squareTop), plan.whole(squareLeft), plan.whole(squareSide))
	turned := BroadcastToShape(GreaterThan(plan.whole(squareTurned), ZerosLike(plan.whole(squareTurned))), i.Shape())
	i, j = Where(turned, j, i), Where(turned, i, j)
	upper := LessThan(i, plan.whole(squareHalf))
	choose := func(k int, part func(k int) *Node) *Node {
		like := BroadcastToShape(part(k), i.Shape())
		return Where(upper, like, BroadcastToShape(part(k+1), i.Shape()))
	}
	away := Max(Abs(Sub(i, choose(squareTopOfUpper, plan.whole))), Abs(Sub(j, plan.whole(squareMiddle))))
	beyond := AddScalar(plan.whole(squareMiddle), 1)
	height := Sub(b.stack(away, images), b.stack(beyond, images))
	value := Mul(height, choose(squareScaleOfUpper, plan.real))
	return Where(inside, value, ZerosLike(value))
}

// stack is the height of all rectangles that reach as far from the middle as away, or further: float64.
func (b Ball) stack(away, images *Node) *Node {
	dims := images.Shape().Dimensions
	layers := min(dims[1], dims[2])/2 + 1
	heights := make([]float64, layers+1)
	for at := range heights {
		for k := at; k < layers; k++ {
			heights[at] += 1 / math.Pow(float64(k+1), b.power())
		}
	}
	g := away.Graph()
	at := Max(Min(away, Const(g, int32(layers))), Const(g, int32(0)))
	return Gather(Const(g, heights), InsertAxes(at, -1))
}
