package corrupt

import "math"

// brightness adds to the value of HSV.
func brightness(dst, src []uint8, level int, _ draws) {
	more := [Severities]float64{.05, .1, .15, .2, .3}[level]
	inHSV(dst, src, func(h, s, v float64) (float64, float64, float64) {
		return h, s, min(max(v+more, 0), 1)
	})
}

// saturate scales the saturation of HSV: a s + b.
func saturate(dst, src []uint8, level int, _ draws) {
	p := [Severities]struct{ a, b float64 }{{.3, 0}, {.1, 0}, {1.5, 0}, {2, .1}, {2.5, .2}}[level]
	inHSV(dst, src, func(h, s, v float64) (float64, float64, float64) {
		return h, min(max(s*p.a+p.b, 0), 1), v
	})
}

// inHSV changes each pixel in hue, saturation and value, all in [0, 1], with the conversions of skimage.color.
func inHSV(dst, src []uint8, change func(h, s, v float64) (float64, float64, float64)) {
	for i := 0; i < len(src); i += channels {
		r, g, b := toRGB(change(toHSV(float64(src[i])/255, float64(src[i+1])/255, float64(src[i+2])/255)))
		dst[i], dst[i+1], dst[i+2] = cut(r), cut(g), cut(b)
	}
}

// toHSV gives gray pixels the hue 0.
func toHSV(r, g, b float64) (h, s, v float64) {
	v = max(r, g, b)
	d := v - min(r, g, b)
	if d == 0 {
		return 0, 0, v
	}
	switch v { // where two channels are largest, the later one counts
	case b:
		h = 4 + (r-g)/d
	case g:
		h = 2 + (b-r)/d
	default:
		h = (g - b) / d
	}
	h /= 6
	return h - math.Floor(h), d / v, v
}

func toRGB(h, s, v float64) (r, g, b float64) {
	sector := math.Floor(h * 6)
	f := h*6 - sector
	p, q, t := v*(1-s), v*(1-f*s), v*(1-(1-f)*s)
	switch int(sector) % 6 {
	case 0:
		return v, t, p
	case 1:
		return q, v, p
	case 2:
		return p, v, t
	case 3:
		return p, q, v
	case 4:
		return t, p, v
	}
	return v, p, q
}
