package attacks

import . "github.com/gomlx/gomlx/core/graph"

// lagrangian is the state of ALMA: images [B, H, W, C], numbers [B].
type lagrangian struct {
	square, momentum *Node // RMSProp's averages
	mu, rho          *Node
	checked          *Node // v at the last check
	found            *Node // share of the steps that were done at the first adversarial point; 2 before there is one
	rate             *Node // learning rate before it decays
}

// largestRho keeps squares of gradients within float32.
const largestRho = 1e8

// move is one step of ALMA.
func (a ALMA) move(s *approachState, p probe) {
	a = a.filled()
	n := s.numbers
	l := lagrangian{s.images[0], s.images[1], n[0], n[1], n[2], n[3], n[4]}
	v := finite(Neg(p.losses))
	l.begin(a, p.first, v)
	l.update(a, p, v)

	delta := Sub(s.x, p.clean)
	distance := sizes(L2, delta)
	time := p.schedule[0]
	adversarial := LogicalAnd(p.wrong, LogicalNot(GreaterOrEqual(Neg(p.losses), ZerosLike(v)))) // a NaN is
	s.keep(adversarial, distance)
	l.found = Where(LogicalAnd(adversarial, GreaterThan(l.found, OnesLike(time))), time, l.found)

	grad := finite(Mul(p.grad, perImage(Neg(l.slope(v)))))
	length := sizes(L2, grad)
	lost := LogicalAnd(p.first, LessThan(length, constant(length, smallestNorm)))
	grad = wherever(lost, Ball{Norm: L2}.Direction(gaussian(grad, p.noise)), grad)
	outwards := Div(delta, perImage(MaxScalar(distance, smallestNorm)))
	grad = wherever(p.first, grad, Add(grad, outwards))

	l.square = Add(MulScalar(l.square, a.Smoothing), MulScalar(Square(grad), 1-a.Smoothing))
	l.momentum = Add(MulScalar(l.momentum, a.Smoothing), Div(grad, AddScalar(Sqrt(l.square), 1e-8)))
	if a.FirstDistance > 0 {
		l.rate = Where(p.first, a.firstRate(p.clean, l.momentum), l.rate)
	}
	since := Div(MaxScalar(Sub(time, l.found), 0), OneMinus(l.found))
	rate := Mul(l.rate, Pow(constant(since, a.Decay), since))
	s.x = ClipScalar(Sub(s.x, Mul(l.momentum, perImage(rate))), 0, 1)
	s.images, s.numbers = []*Node{l.square, l.momentum}, []*Node{l.mu, l.rho, l.checked, l.found, l.rate}
}

// begin resets fresh rows.
func (l *lagrangian) begin(a ALMA, first, v *Node) {
	l.square = wherever(first, OnesLike(l.square), l.square)
	l.momentum = wherever(first, ZerosLike(l.momentum), l.momentum)
	l.mu = Where(first, constant(v, a.Mu), l.mu)
	l.rho = Where(first, constant(v, a.Rho), l.rho)
	l.checked = Where(first, v, l.checked)
	l.found = Where(first, constant(v, 2), l.found)
	l.rate = Where(first, constant(v, a.StepSize), l.rate)
}

// update adapts rho and then mu to the pass.
func (l *lagrangian) update(a ALMA, p probe, v *Node) {
	check := GreaterThan(p.schedule[1], ZerosLike(v))
	stuck := LogicalAnd(GreaterThan(l.found, OnesLike(v)), GreaterOrEqual(v, MulScalar(l.checked, a.Tau)))
	l.rho = Where(LogicalAnd(check, stuck), MinScalar(MulScalar(l.rho, a.Growth), largestRho), l.rho)
	l.checked = Where(check, v, l.checked)
	mu := Add(MulScalar(l.mu, a.Smoothing), MulScalar(l.slope(v), 1-a.Smoothing))
	l.mu = Where(p.first, l.mu, ClipScalar(mu, 1e-6, 1e12))
}

// slope is the derivative of the penalty.
func (l *lagrangian) slope(v *Node) *Node {
	scaled := Mul(l.rho, v)
	beyond := Add(Mul(l.mu, OnePlus(MulScalar(scaled, 2))), MulScalar(Square(scaled), .5))
	inside := Div(l.mu, Square(OneMinus(MinScalar(scaled, 0))))
	return Where(LessThan(v, ZerosLike(v)), inside, beyond)
}

// firstRate is the rate [B] at which one step against direction moves the clean images by FirstDistance. Clipping to the
// pixel box only shortens a step, so that the search, by bisection of the exponent, begins at the rate without clipping.
func (a ALMA) firstRate(clean, direction *Node) *Node {
	length := sizes(L2, direction)
	least := Div(constant(length, a.FirstDistance), MaxScalar(length, smallestNorm))
	low, high := ZerosLike(length), constant(length, 16)
	at := func(exponent *Node) *Node { return Mul(least, Pow(constant(exponent, 2), exponent)) }
	for range 24 {
		middle := MulScalar(Add(low, high), .5)
		moved := ClipScalar(Sub(clean, Mul(direction, perImage(at(middle)))), 0, 1)
		short := LessThan(sizes(L2, Sub(moved, clean)), constant(length, a.FirstDistance))
		low, high = Where(short, middle, low), Where(short, high, middle)
	}
	return at(MulScalar(Add(low, high), .5))
}

// excess is (margin + tolerance) / (z_(1) - z_(3) + 1e-8) per image, with z_(k) the k-th largest logit: the constraint of
// ALMA, below 0 where the image is misclassified by more than the tolerance.
func excess(logits, y *Node, tolerance float64) *Node {
	checkClasses("excess", logits, 3)
	top := largest(logits, 3)
	return Div(AddScalar(Margin(logits, y), tolerance), AddScalar(Sub(top[0], top[2]), 1e-8))
}
