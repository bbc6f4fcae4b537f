package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// AttentionOptions are the settings of [GradCAM].
type AttentionOptions struct {
	// Layer is a block, as nn.Net.Tap names it; "" is the last one.
	Layer string
	// Attack makes the attacked images, as in [SimilarityOptions].
	Attack attacks.Attack
	Shown  int // images to keep the maps of; 0 is 8, or all where there are fewer
	Batch  int // 0 is 32
	Seed   uint64
}

// Attention is where networks look.
type Attention struct {
	Images   string             `json:"images"`
	N        int                `json:"n"`
	Attack   string             `json:"attack"`
	Shown    []uint8            `json:"shown"`  // [S, 32, 32, 3]
	Labels   []string           `json:"labels"` // of Shown
	Networks []AttentionNetwork `json:"networks"`
}

// AttentionNetwork is where one network looks.
type AttentionNetwork struct {
	Name  string `json:"name"`
	Layer string `json:"layer"`
	// Clean and Attacked are the maps of the images Shown, each [h·w] for maps of h x w, and what the network sees in them.
	Size          [2]int      `json:"size"` // h, w
	Clean         [][]float64 `json:"clean"`
	Attacked      [][]float64 `json:"attacked"`
	AttackedShown []uint8     `json:"attacked_shown"` // the attacked images
	Seen          []string    `json:"seen"`
	SeenAttacked  []string    `json:"seen_attacked"`
	// Kept is the correlation of an image's map before and after the attack, for the label's class, mean over all images; a
	// map without contrast has 0 with any other. Blank is the share of images whose map is 0 everywhere, clean.
	Kept  float64 `json:"kept"`
	Blank float64 `json:"blank"`
}

// GradCAM maps where networks look for the label's class c (Selvaraju et al. 2017, eq. 1 and 2): the activations A [h, w, K]
// of a block, weighted by how the logit z_c depends on them,
//
//	L = max(0, Σ_k α_k A_k),   α_k = 1/(h·w) Σ_ij ∂z_c/∂A_ijk
//
// on the images of set, clean and attacked through each network.
func GradCAM(ctx context.Context, device compute.Backend, nets []Network, set *data.Set, opt AttentionOptions) (*Attention, error) {
	if opt.Shown == 0 {
		opt.Shown = min(8, set.Len())
	}
	if opt.Batch == 0 {
		opt.Batch = 32
	}
	opt.Batch = min(opt.Batch, set.Len())
	if opt.Shown < 1 || opt.Shown > set.Len() || opt.Batch < 1 {
		return nil, fmt.Errorf("analysis: maps of %d images shown of %d, in batches of %d: want 1 to %d shown", opt.Shown, set.Len(), opt.Batch, set.Len())
	}
	if opt.Attack.Method == nil {
		a, err := attacks.Preset("pgd20")
		if err != nil {
			return nil, err
		}
		opt.Attack = a
	}
	pgd, err := attackable(opt.Attack, len(set.Classes))
	if err != nil {
		return nil, err
	}
	part, err := set.Slice(0, opt.Shown)
	if err != nil {
		return nil, err
	}
	r := &Attention{Images: set.Name, N: set.Len(), Shown: part.Images,
		Attack: fmt.Sprintf("%s, %s %.4g", opt.Attack.Name, pgd.Ball.Norm, pgd.Ball.Eps)}
	for _, y := range part.Labels {
		r.Labels = append(r.Labels, set.Classes[y])
	}
	c := newCamera(device, opt.Layer, opt.Batch)
	defer c.lens.close()
	climb := newClimber(device, pgd, opt.Batch, false)
	defer climb.step.close()
	for _, net := range nets {
		a, err := c.network(ctx, net, set, climb, opt)
		if err != nil {
			return nil, err
		}
		r.Networks = append(r.Networks, a)
	}
	return r, nil
}

// camera maps attention.
type camera struct {
	lens   *lens
	batch  int
	blocks map[string]string // that programs look at, by the form of the network
}

func newCamera(device compute.Backend, layer string, batch int) *camera {
	c := &camera{batch: batch, blocks: map[string]string{}}
	c.lens = newLens(device, func(net *nn.Net, in []*Node) []*Node {
		var block *Node
		net.Tap = func(name string, x *Node) {
			if x.Rank() == 4 && (layer == "" || layer == name) {
				block, c.blocks[formOf(net.Arch)] = x, name
			}
		}
		logits := net.Forward(nn.Eval, in[0])
		if block == nil {
			panic(fmt.Errorf("analysis: %s has no block %q", net.Arch, layer))
		}
		z := ReduceAllSum(Mul(logits, OneHot(in[1], logits.Shape().Dim(1), logits.DType())))
		weight := ReduceAndKeep(Gradient(z, block)[0], ReduceMean, 1, 2) // α [B, 1, 1, K]
		sum := ReduceSum(Mul(weight, block), -1)
		return []*Node{Max(ScalarZero(sum.Graph(), sum.DType()), sum), logits}
	})
	return c
}

// attention of a network for some classes.
type attention struct {
	size   [2]int
	maps   [][]float64 // of each image
	logits []float32   // [N, C]
}

func (c *camera) look(ctx context.Context, s *subject, images []float32, labels []int32) (*attention, error) {
	a := &attention{}
	n := len(labels)
	for first := 0; first < n; first += c.batch {
		x := imageBatch(images, first, c.batch)
		y := tensors.FromFlatDataAndDimensions(rowsOf(labels, 1, first, c.batch), c.batch)
		out, err := c.lens.look(ctx, s, x, y)
		freeAll(x, y)
		if err != nil {
			return nil, err
		}
		shape, count := out[0].Shape(), min(c.batch, n-first)
		a.size = [2]int{shape.Dim(1), shape.Dim(2)}
		maps, err := take(out[0])
		if err != nil {
			return nil, err
		}
		logits, err := take(out[1])
		if err != nil {
			return nil, err
		}
		a.logits = append(a.logits, logits[:len(logits)/c.batch*count]...)
		for i := range count {
			one := make([]float64, 0, a.size[0]*a.size[1])
			for _, v := range rowOf(maps, i, c.batch) {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					return nil, fmt.Errorf("analysis: %s: the map of image %d holds %v", s.Name, first+i, v)
				}
				one = append(one, float64(v))
			}
			a.maps = append(a.maps, one)
		}
	}
	return a, nil
}

func (c *camera) network(ctx context.Context, net Network, set *data.Set, climb *climber, opt AttentionOptions) (r AttentionNetwork, err error) {
	s := newSubject(net)
	defer s.free()
	images := unitPixels(set)
	adv, err := climb.climb(ctx, s, images, set.Labels, opt.Seed)
	if err != nil {
		return r, err
	}
	clean, err := c.look(ctx, s, images, set.Labels)
	if err != nil {
		return r, err
	}
	attacked, err := c.look(ctx, s, adv, set.Labels)
	if err != nil {
		return r, err
	}
	r = AttentionNetwork{Name: net.Name, Layer: c.blocks[formOf(net.Arch)], Size: clean.size, Clean: clean.maps[:opt.Shown], Attacked: attacked.maps[:opt.Shown],
		AttackedShown: toBytes(adv[:opt.Shown*imageValues])}
	for i := range opt.Shown {
		r.Seen = append(r.Seen, set.Classes[largestOf(rowOf(clean.logits, i, set.Len()))])
		r.SeenAttacked = append(r.SeenAttacked, set.Classes[largestOf(rowOf(attacked.logits, i, set.Len()))])
	}
	for i, m := range clean.maps {
		r.Kept += correlation(m, attacked.maps[i]) / float64(set.Len())
		if slices.Max(m) == 0 {
			r.Blank += 1 / float64(set.Len())
		}
	}
	return r, nil
}

// correlation is Pearson's, 0 where one side is constant.
func correlation(a, b []float64) float64 {
	n := float64(len(a))
	var meanA, meanB float64
	for i := range a {
		meanA += a[i] / n
		meanB += b[i] / n
	}
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-meanA, b[i]-meanB
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa) / math.Sqrt(bb)
}

// enlarge is a map of h x w values as 32 x 32, linearly between the centres of its cells, divided by its largest value.
func enlarge(m []float64, h, w int) []float32 {
	largest := slices.Max(m)
	if largest <= 0 {
		return make([]float32, side32*side32)
	}
	place := func(i, cells int) (low, high int, f float64) {
		at := (float64(i)+0.5)*float64(cells)/side32 - 0.5
		at = math.Min(math.Max(at, 0), float64(cells-1))
		low = int(at)
		return low, min(low+1, cells-1), at - float64(low)
	}
	out := make([]float32, 0, side32*side32)
	for y := range side32 {
		y0, y1, fy := place(y, h)
		for x := range side32 {
			x0, x1, fx := place(x, w)
			top := m[y0*w+x0]*(1-fx) + m[y0*w+x1]*fx
			bottom := m[y1*w+x0]*(1-fx) + m[y1*w+x1]*fx
			out = append(out, float32((top*(1-fy)+bottom*fy)/largest))
		}
	}
	return out
}
