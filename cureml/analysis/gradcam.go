package analysis

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive

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
	if err := checkInput(nets, set); err != nil {
		return nil, err
	}
	if opt.Shown == 0 {
		opt.Shown = min(8, set.Len())
	}
	if opt.Batch == 0 {
		opt.Batch = 32
	}
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
	c := newCamera(opt.Layer, opt.Batch)
	attack := newAscent(pgd, nn.Eval)
	defer closeAll(c, attack)
	networks, err := measureEach(device, nets, func(_ int, s *subject) (AttentionNetwork, error) { return c.network(ctx, s, set, attack, opt) })
	if err != nil {
		return nil, err
	}
	return &Attention{Images: set.Name, N: set.Len(), Attack: fmt.Sprintf("%s, %s %.4g", opt.Attack.Name, pgd.Ball.Norm, pgd.Ball.Eps),
		Shown: set.Images[:opt.Shown*imageValues], Labels: labelNames(set, opt.Shown), Networks: networks}, nil
}

// camera maps attention.
type camera struct {
	*program // x, y -> maps [B, h, w], logits
	batch    int
	blocks   map[string]block // that programs look at, by the form of the network
}

type block struct {
	name string
	size [2]int // h, w
}

func newCamera(layer string, batch int) *camera {
	c := &camera{batch: batch, blocks: map[string]block{}}
	c.program = newProgram(func(s *subject, weights, in []*Node) []*Node {
		net := s.net(weights)
		var features *Node
		net.Tap = func(name string, x *Node) {
			if x.Rank() == 4 && (layer == "" || layer == name) {
				features, c.blocks[s.form] = x, block{name, [2]int{x.Shape().Dim(1), x.Shape().Dim(2)}}
			}
		}
		logits := net.Forward(nn.Eval, in[0])
		if features == nil {
			panic(fmt.Errorf("analysis: %s has no block %q", net.Arch, layer))
		}
		z := ReduceAllSum(Mul(logits, OneHot(in[1], logits.Shape().Dim(1), logits.DType())))
		weight := ReduceAndKeep(Gradient(z, features)[0], ReduceMean, 1, 2) // α [B, 1, 1, K]
		sum := ReduceSum(Mul(weight, features), -1)
		return []*Node{Max(ScalarZero(sum.Graph(), sum.DType()), sum), logits}
	})
	return c
}

// attention of a network for some classes.
type attention struct {
	maps   [][]float64 // of each image, h·w
	logits []float32   // [N, C]
}

func (c *camera) look(ctx context.Context, s *subject, images []float32, labels []int32) (*attention, error) {
	out, err := c.onAll(ctx, s, images, labels, c.batch)
	if err != nil {
		return nil, err
	}
	a := &attention{logits: out[1]}
	for i := range labels {
		one := widen(rowOf(out[0], i, len(labels)))
		if err := allFinite(fmt.Sprintf("the map of image %d: value", i), one); err != nil {
			return nil, err
		}
		a.maps = append(a.maps, one)
	}
	return a, nil
}

func (c *camera) network(ctx context.Context, s *subject, set *data.Set, attack *ascent, opt AttentionOptions) (r AttentionNetwork, err error) {
	images := pixels(set.Images)
	adv, err := attack.climbAll(ctx, s, images, set.Labels, opt.Batch, opt.Seed)
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
	at := c.blocks[s.form]
	r = AttentionNetwork{Name: s.Name, Layer: at.name, Size: at.size, Clean: clean.maps[:opt.Shown], Attacked: attacked.maps[:opt.Shown],
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
