package attacks

import "math"

// mosaic is a perturbation of Square in Linf, x ± eps at every pixel value, as signs [H, W, C]. It is kept on the host,
// beside the image on the device, to know what a query would change before it is made.
type mosaic struct {
	signs           []float32
	width, channels int
}

// newMosaic has the signs of a perturbation.
func newMosaic(delta []float32, image [3]int) mosaic {
	m := mosaic{make([]float32, len(delta)), image[1], image[2]}
	for i, v := range delta {
		m.signs[i] = float32(math.Copysign(1, float64(v)))
	}
	return m
}

// rows calls visit for each row of the window in a row of the plan, until that returns false.
func (m mosaic) rows(plan []float32, visit func(signs []float32) bool) {
	top, left, side := int(plan[squareTop]), int(plan[squareLeft]), int(plan[squareSide])
	for i := top; i < top+side; i++ {
		from := (i*m.width + left) * m.channels
		if !visit(m.signs[from : from+side*m.channels]) {
			return
		}
	}
}

// differs says whether the window holds another sign than the plan's anywhere.
func (m mosaic) differs(plan []float32) (found bool) {
	wanted := plan[squareSigns:]
	m.rows(plan, func(signs []float32) bool {
		for k, sign := range signs {
			if sign != wanted[k%m.channels] {
				found = true
				return false
			}
		}
		return true
	})
	return found
}

// set fills the window with the plan's signs.
func (m mosaic) set(plan []float32) {
	m.rows(plan, func(signs []float32) bool {
		for k := range signs {
			signs[k] = plan[squareSigns+k%m.channels]
		}
		return true
	})
}
