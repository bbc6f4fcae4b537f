package pixelcode

const (
	side      = 32
	plane     = side * side
	recordLen = 1 + 3*plane

	// Each channel lies in a plane with two samples of padding at the top, left and right, so that every
	// neighbour of the model exists.
	stride  = side + 4
	padded  = (side + 2) * stride
	classes = 23
	weights = 21
	one     = 4096 // fixed-point 1.0 of a weight

	levels    = 24   // quantised energies
	nodes     = 64   // binary decisions of one residual
	maxErr    = 1200 // remembered prediction errors are cut here, in 1/16 of a grey level
	startErr  = 64   // error assumed above the first row
	labelBits = 8
)

// channelPlane maps coding order (G, R, B) to the plane of the record (R, G, B).
var channelPlane = [3]int{1, 0, 2}

// window is the part of a padded plane that one prediction sees: the current sample lies at index cur, and
// nw, n, ne, ... are its neighbours by compass direction, a doubled letter meaning two steps.
type window [cur + 1]int32

const (
	cur = 2*stride + 2
	w   = cur - 1
	ww  = cur - 2
	n   = cur - stride
	nw  = n - 1
	ne  = n + 1
	nww = n - 2
	nee = n + 2
	nn  = cur - 2*stride
	nnw = nn - 1
	nne = nn + 1
)

// weightTable holds the prediction weights [channel, class, weight] in units of 1/one.
type weightTable [3][classes][weights]int32

// model is the state that encoder and decoder keep in step.
type model struct {
	wt      *weightTable
	pix     [3][padded]int32
	err     [3][padded]int32 // absolute prediction errors, in 1/16 of a grey level
	nearAll []probs          // [3, levels]: energy of the errors around, in all channels
	farAll  []probs          // [3, levels, levels/2, levels/2]: errors of the other channels, own errors, gradients
	label   [1 << labelBits]prob

	// Set by predict for the current sample.
	pred16    int32 // prediction in 1/16 of a grey level
	near, far *probs
}

// probs are the probabilities of the decisions of one residual.
type probs [nodes]prob

func newModel(wt *weightTable) *model {
	m := &model{wt: wt, nearAll: make([]probs, 3*levels), farAll: make([]probs, 3*levels*levels/2*levels/2)}
	for _, table := range [][]probs{m.nearAll, m.farAll} {
		for i := range table {
			for j := range table[i] {
				table[i][j] = newProb
			}
		}
	}
	for i := range m.label {
		m.label[i] = newProb
	}
	return m
}

// at is the position of (y, x) in a padded plane.
func at(y, x int) int { return (y+2)*stride + x + 2 }

// startRow fills the padding to the left of row y.
func (m *model) startRow(y int) {
	for c := range 3 {
		if y == 0 {
			for i := range m.err[c][:3*stride] {
				m.err[c][i] = startErr
			}
			o := at(0, 0)
			m.pix[c][o-1], m.pix[c][o-2] = 128, 128
			continue
		}
		o := at(y, 0)
		n := m.pix[c][o-stride]
		m.pix[c][o-1], m.pix[c][o-2] = n, n
		e := m.err[c][o-stride]
		m.err[c][o-1], m.err[c][o-2] = e, e
	}
}

// topRow makes the rows above the first row equal to the left neighbour of column x.
func (m *model) topRow(x int) {
	for c := range 3 {
		w := m.pix[c][at(0, x-1)]
		for d := max(-2, -2-x); d <= 2 && x+d < side+2; d++ {
			m.pix[c][at(-1, x+d)] = w
			m.pix[c][at(-2, x+d)] = w
		}
	}
}

// endRow fills the padding to the right of row y and, after the first row, the row above it.
func (m *model) endRow(y int) {
	for c := range 3 {
		o := at(y, side-1)
		m.pix[c][o+1], m.pix[c][o+2] = m.pix[c][o], m.pix[c][o]
		m.err[c][o+1], m.err[c][o+2] = m.err[c][o], m.err[c][o]
		if y == 0 {
			copy(m.pix[c][at(-1, -2):at(-1, side+2)], m.pix[c][at(0, -2):at(0, side+2)])
		}
	}
}

// view is the window of channel ch around position o.
func (m *model) view(ch, o int) *window { return (*window)(m.pix[ch][o-cur:]) }

// differences fills d with the inputs of the linear prediction at position o.
func (m *model) differences(ch, o int, d *[weights]int32) {
	a := m.view(ch, o)
	l := a[w]
	d[0], d[1], d[2], d[3], d[4] = a[n]-l, a[nw]-l, a[ne]-l, a[ww]-l, a[nn]-l
	d[5], d[6], d[7], d[8] = a[nne]-l, a[nnw]-l, a[nee]-l, a[nww]-l
	first, second := 1, 2
	switch ch {
	case 1:
		first = 0
	case 2:
		first, second = 0, 1
	}
	b := m.view(first, o)
	l = b[w]
	d[9], d[10], d[11], d[12], d[13], d[14] = b[n]-l, b[nw]-l, b[ne]-l, b[ww]-l, b[nn]-l, b[cur]-l
	c := m.view(second, o)
	l = c[w]
	d[15], d[16], d[17], d[18], d[19], d[20] = c[n]-l, c[nw]-l, c[ne]-l, c[ww]-l, c[nn]-l, c[cur]-l
	// What is not coded yet must not be used: the planes still hold the previous image there.
	if ch < 2 {
		d[20] = 0
	}
	if ch < 1 {
		d[14] = 0
	}
}

// class is the texture class that selects the weights: three classes at the borders, else
// 5 directions x 4 strengths of the gradients.
func (m *model) class(ch, o, y, x int) int {
	switch {
	case y == 0 && x == 0:
		return 0
	case y == 0:
		return 1
	case x == 0:
		return 2
	}
	a := m.view(ch, o)
	hor := abs(a[w]-a[ww]) + abs(a[n]-a[nw]) + abs(a[ne]-a[n])
	ver := abs(a[w]-a[nw]) + abs(a[n]-a[nn]) + abs(a[ne]-a[nne])
	if ch > 0 {
		b := m.view(ch-1, o)
		hor = abs(b[cur]-b[w])*2 + hor/2
		ver = abs(b[cur]-b[n])*2 + ver/2
	}
	return 3 + int(directionOf[hor-ver+maxTilt]) + int(strengthOf[hor+ver])
}

// maxTilt bounds hor and ver in class.
const maxTilt = 2*255 + 3*255/2

// directionOf and strengthOf quantise the difference and the sum of the gradients; the product of their ranges
// numbers the texture classes.
var directionOf, strengthOf = func() (dir [2*maxTilt + 1]uint8, str [2*maxTilt + 1]uint8) {
	for i := range dir {
		for _, edge := range []int{-24, -6, 7, 25} {
			if i-maxTilt >= edge {
				dir[i] += 4
			}
		}
	}
	for i := range str {
		for _, edge := range []int{17, 41, 91} {
			if i >= edge {
				str[i]++
			}
		}
	}
	return dir, str
}()

// predict returns the prediction of sample (y, x) of channel ch and selects the probabilities that code its residual.
func (m *model) predict(ch, o, y, x int) int32 {
	var d [weights]int32
	m.differences(ch, o, &d)
	wt := &m.wt[ch][m.class(ch, o, y, x)]
	s := int32(0)
	for i := range d {
		s += wt[i] * d[i]
	}
	a := m.view(ch, o)
	m.pred16 = min(max(a[w]*16+s>>8, 0), 255*16)

	e := (*window)(m.err[ch][o-cur:])
	own := 2*e[w] + 2*e[n] + e[nw] + e[ne] + (e[ww]+e[nn]+1)/2
	grad := abs(a[w]-a[nw]) + abs(a[n]-a[nw]) + abs(a[n]-a[ne])
	all, others := own, int32(0)
	switch ch {
	case 0:
		r, b := (*window)(m.err[1][o-cur:]), (*window)(m.err[2][o-cur:])
		others = (r[w] + r[n] + b[w] + b[n]) / 2
	case 1:
		g := m.err[0][o]
		others = 2 * g
		all = (own + 3*g) * 7 / 10
	case 2:
		g, r := m.err[0][o], m.err[1][o]
		others = 2*r + g/2
		all = (own + 2*r + g) * 7 / 10
	}
	i := ch*levels + level(all/5)
	j := ((ch*levels+level(others/2))*levels/2+level(own/5)/2)*levels/2 + level(grad)/2
	m.near, m.far = &m.nearAll[i], &m.farAll[j]
	return (m.pred16 + 8) >> 4
}

// learn stores the true value of the sample that predict was called for.
func (m *model) learn(ch, o int, v int32) {
	m.pix[ch][o] = v
	m.err[ch][o] = min(abs(v*16-m.pred16), maxErr)
}

// levelOf quantises an energy to 0..levels-1 in steps that grow by a third.
var levelOf = func() (t [2048]uint8) {
	q, edge := 0, 1
	for v := range t {
		for v >= edge && q < levels-1 {
			q++
			edge += edge/3 + 1
		}
		t[v] = uint8(q)
	}
	return t
}()

// level needs no bounds check: the energies that predict computes stay below 2048.
func level(v int32) int { return int(levelOf[v&2047]) }

// abs has no branch: the signs of the differences that it is used on are as good as random.
func abs(v int32) int32 {
	sign := v >> 31
	return (v ^ sign) - sign
}
