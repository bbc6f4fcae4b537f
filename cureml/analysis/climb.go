package analysis

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/nn"
	"cure/data"
)

// climber attacks all images, also those that the network is wrong about already, by PGD. An evaluation leaves these alone; a
// comparison of representations needs them.
type climber struct {
	attacks.PGD
	batch int
	step  *lens
}

// newClimber climbs the loss that p names, of the labels that climb is given; with towards set it descends the
// cross-entropy of these, which then are targets.
func newClimber(device compute.Backend, p attacks.PGD, batch int, towards bool) *climber {
	return &climber{p, batch, newLens(device, func(net *nn.Net, in []*Node) []*Node {
		x, adv, y := in[0], in[1], in[2]
		return []*Node{p.Step(x, adv, func(adv *Node) *Node {
			logits := net.Forward(nn.Eval, adv)
			if towards {
				return Neg(attacks.CrossEntropy(logits, y))
			}
			return p.Objective(logits, y, nil)
		})}
	})}
}

// attackable says what is wrong with an attack for a climber.
func attackable(a attacks.Attack, classes int) (p attacks.PGD, err error) {
	p, ok := a.Method.(attacks.PGD)
	if !ok || p.Target != attacks.Untargeted || p.Loss == "kl" {
		return p, fmt.Errorf("analysis: attack %q: want an untargeted PGD with loss ce, cw or dlr, such as pgd20", a.Name)
	}
	return p, a.Validate(classes)
}

// climb returns the attacked images; the noise of image i is that of the stream of seed and i.
func (c *climber) climb(ctx context.Context, s *subject, images []float32, labels []int32, seed uint64) ([]float32, error) {
	n := len(labels)
	out := make([]float32, 0, len(images))
	start := make([]float32, len(images))
	for i := range n {
		one := start[i*imageValues : (i+1)*imageValues]
		c.Noise(one, data.Stream(seed, "attack", uint64(i)))
		for k := range one {
			one[k] += images[i*imageValues+k]
			if c.Start == attacks.Uniform {
				one[k] = min(max(one[k], 0), 1)
			}
		}
	}
	for first := 0; first < n; first += c.batch {
		x, adv := imageBatch(images, first, c.batch), imageBatch(start, first, c.batch)
		y := tensors.FromFlatDataAndDimensions(rowsOf(labels, 1, first, c.batch), c.batch)
		for range c.Steps {
			next, err := c.step.look(ctx, s, x, adv, y)
			freeAll(adv)
			if err != nil {
				return nil, err
			}
			adv = next[0]
		}
		freeAll(x, y)
		v, err := take(adv)
		if err != nil {
			return nil, err
		}
		out = append(out, v[:min(c.batch, n-first)*imageValues]...)
	}
	return out, nil
}
