package nn

import "testing"

// TestMACs compares with counts by hand: convolutions are H·W·k²·in·out each, H and W of what comes out.
func TestMACs(t *testing.T) {
	// conv3 and conv1 are one convolution on images of a side.
	conv3 := func(side, in, out int64) int64 { return side * side * 9 * in * out }
	conv1 := func(side, in, out int64) int64 { return side * side * in * out }
	resnet18 := func(w int64) int64 {
		n := conv3(32, 3, w) + 4*conv3(32, w, w) + 10*8*w
		side, in := int64(16), w
		for range 3 {
			n += conv3(side, in, 2*in) + 3*conv3(side, 2*in, 2*in) + conv1(side, in, 2*in)
			side, in = side/2, 2*in
		}
		return n
	}
	wide := func(blocks, k int64) int64 {
		n := conv3(32, 3, 16)
		side, in := int64(32), int64(16)
		for group, out := range []int64{16 * k, 32 * k, 64 * k} {
			if group > 0 {
				side /= 2
			}
			n += conv3(side, in, out) + conv1(side, in, out) + (2*blocks-1)*conv3(side, out, out)
			in = out
		}
		return n + 10*in
	}
	for _, c := range []struct {
		name  string
		width int
		want  int64
		giga  float64 // as papers print it
	}{
		{"resnet18", 64, resnet18(64), 0.56},
		{"resnet18", 16, resnet18(16), 0.035},
		{"preactresnet18", 64, resnet18(64), 0.56},
		{"wrn-28-10", 16, wide(4, 10), 5.24}, // 5.2 in Zagoruyko and Komodakis, 2016
		{"wrn-34-10", 16, wide(5, 10), 6.66},
	} {
		a, err := Parse(c.name, c.width, 10)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.MACs()
		if err != nil || got != c.want {
			t.Errorf("%s: %d multiply-adds (%v), want %d", a, got, err, c.want)
		}
		if g := float64(got) / 1e9; g < c.giga-0.005 || g > c.giga+0.005 {
			t.Errorf("%s: %.3f·10⁹ multiply-adds, papers have %.2f", a, g, c.giga)
		}
	}
	if _, err := (Arch{Name: "vgg", Width: 16, Classes: 10}).MACs(); err == nil {
		t.Error("vgg: no error")
	}
}
