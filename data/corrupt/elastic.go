package corrupt

// elasticTransform moves the points (26, 26), (26, 6) and (6, 6) by U(-jitter, jitter) in each coordinate and the image with
// them, affinely; then it samples each pixel at a distance that is uniform noise U(-1, 1) smoothed by a Gaussian of σ (cut
// off at 3 σ) times alpha. All are in pixels; sampling is linear, mirrored about the border (the centre of the border
// pixels in the affine part, their edges in the other). Severity 1 has the affine part only. The mildest in
// PSNR is severity 5.
func elasticTransform(dst, src []uint8, level int, rng draws) {
	p := [Severities]struct{ alpha, sigma, jitter float64 }{
		{0, 0, 2.56}, {1.6, 6.4, 2.24}, {2.56, 1.92, 1.92}, {3.2, 1.28, 1.6}, {3.2, .96, .96},
	}[level]
	var x, moved [imageLen]float64
	unit(x[:], src)
	m := randomAffine(p.jitter, rng).inverse()
	for row := range side {
		for col := range side {
			sx, sy := m.apply(float64(col), float64(row))
			for c := range channels {
				moved[(row*side+col)*channels+c] = bilinear(x[:], channels, c, sy, sx, reflect101)
			}
		}
	}
	dx, dy := displacement(p.alpha, p.sigma, rng), displacement(p.alpha, p.sigma, rng)
	for i := range side * side {
		for c := range channels {
			dst[i*channels+c] = cut(bilinear(moved[:], channels, c, float64(i/side)+dy[i], float64(i%side)+dx[i], reflect))
		}
	}
}

// displacement is a smooth random field.
func displacement(alpha, sigma float64, rng draws) (d [side * side]float64) {
	for i := range d {
		d[i] = 2*rng.Float64() - 1
	}
	gaussian(d[:], 1, sigma, 3, reflect)
	for i := range d {
		d[i] *= alpha
	}
	return d
}

// affine maps (x, y) to (a x + b y + c, d x + e y + f).
type affine struct{ a, b, c, d, e, f float64 }

// randomAffine is the map that takes the three points to their jittered positions.
func randomAffine(jitter float64, rng draws) affine {
	const near, far = 6, 26
	var x, y [3]float64 // images of (far, far), (far, near), (near, near)
	for i, p := range [3][2]float64{{far, far}, {far, near}, {near, near}} {
		x[i] = p[0] + jitter*(2*rng.Float64()-1)
		y[i] = p[1] + jitter*(2*rng.Float64()-1)
	}
	const d = far - near
	m := affine{a: (x[1] - x[2]) / d, b: (x[0] - x[1]) / d, d: (y[1] - y[2]) / d, e: (y[0] - y[1]) / d}
	m.c = x[2] - near*(m.a+m.b)
	m.f = y[2] - near*(m.d+m.e)
	return m
}

func (m affine) apply(x, y float64) (float64, float64) {
	return m.a*x + m.b*y + m.c, m.d*x + m.e*y + m.f
}

// inverse exists for every jitter up to 2.56: the determinant is at least (1 - 0.256)² - 0.256² > 0.
func (m affine) inverse() affine {
	det := m.a*m.e - m.b*m.d
	v := affine{a: m.e / det, b: -m.b / det, d: -m.d / det, e: m.a / det}
	v.c = -(v.a*m.c + v.b*m.f)
	v.f = -(v.d*m.c + v.e*m.f)
	return v
}
