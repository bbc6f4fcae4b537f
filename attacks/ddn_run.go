package attacks

import . "github.com/gomlx/gomlx/core/graph"

// move is one step of DDN; eps is the state's only number.
func (d DDN) move(s *approachState, p probe) {
	d = d.filled()
	delta := Sub(s.x, p.clean)
	s.keep(p.wrong, sizes(L2, delta))

	length := sizes(L2, p.grad)
	flat := LessThan(length, constant(length, smallestNorm))
	upwards := Ball{Norm: L2}.Direction(wherever(flat, gaussian(p.grad, p.noise), p.grad))
	delta = Add(delta, Mul(upwards, perImage(p.schedule[0])))

	eps := Where(p.first, constant(length, d.InitEps), s.numbers[0])
	eps = Mul(eps, Where(p.wrong, constant(eps, 1-d.Gamma), constant(eps, 1+d.Gamma)))
	eps = Min(eps, farthest(L2, p.clean))
	delta = Mul(delta, perImage(Div(eps, MaxScalar(sizes(L2, delta), smallestNorm))))
	s.x, s.numbers = ClipScalar(Add(p.clean, delta), 0, 1), []*Node{eps}
	if d.Levels > 0 {
		s.x = DivScalar(Round(MulScalar(s.x, float64(d.Levels-1))), float64(d.Levels-1))
	}
}
