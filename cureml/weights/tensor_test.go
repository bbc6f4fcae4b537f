package weights

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// TestHalf compares all 65,536 half-precision numbers with their definition, sign * 2^e * fraction.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		sign, exp, frac := 1.0, h>>10&0x1f, float64(h&0x3ff)/1024
		if h>>15 == 1 {
			sign = -1
		}
		var want float64
		switch {
		case exp == 31 && frac != 0:
			want = math.NaN()
		case exp == 31:
			want = math.Inf(int(sign))
		case exp == 0:
			want = math.Copysign(math.Ldexp(frac, -14), sign)
		default:
			want = sign * math.Ldexp(1+frac, exp-15)
		}
		got := float64(halfToFloat32(uint16(h)))
		if math.Float64bits(got) != math.Float64bits(want) && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("half 0x%04x: got %v, want %v", h, got, want)
		}
	}
}

func TestTensorRoundTrip(t *testing.T) {
	f := []float32{1, -0.5, float32(math.Inf(1)), math.SmallestNonzeroFloat32, 0, 3}
	x := Float32s([]int{2, 3}, f)
	got, err := x.Float32()
	if err != nil || !slices.Equal(got, f) || x.Len() != 6 {
		t.Errorf("float32: got %v %v, want %v", got, err, f)
	}
	n := []int64{math.MinInt64, -1, math.MaxInt64}
	y := Int64s([]int{3}, n)
	back, err := y.Int64()
	if err != nil || !slices.Equal(back, n) {
		t.Errorf("int64: got %v %v, want %v", back, err, n)
	}
	if s := Float32s(nil, []float32{2}); s.Len() != 1 {
		t.Errorf("scalar: Len %d, want 1", s.Len())
	}
}

func TestTensorRefuses(t *testing.T) {
	for _, tc := range []struct {
		x    Tensor
		want string
	}{
		{Int64s([]int{1}, []int64{1}), "I64 holds no floating point"},
		{Tensor{F32, []int{2}, make([]byte, 4)}, "needs 8 bytes, the data has 4"},
		{Tensor{F32, []int{-1}, nil}, "negative dimension"},
		{Tensor{F32, []int{1 << 40, 1 << 40}, nil}, "overflows"},
		{Tensor{"C64", []int{1}, make([]byte, 8)}, `unknown element type "C64", accepted are I64, F64`},
	} {
		if _, err := tc.x.Float32(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %v: got %v, want an error with %q", tc.x.DType, tc.x.Shape, err, tc.want)
		}
	}
	if _, err := Float32s(nil, []float32{1}).Int64(); err == nil || !strings.Contains(err.Error(), "F32 holds no integers") {
		t.Errorf("Int64 of F32: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Float32s with 1 value for shape [2]: no panic")
		}
	}()
	Float32s([]int{2}, []float32{1})
}

func TestNonFinite(t *testing.T) {
	var d Dict
	d.Set("fine", Float32s([]int{2}, []float32{math.MaxFloat32, -1}))
	d.Set("nan", Float32s([]int{2}, []float32{1, float32(math.NaN())}))
	d.Set("ints", Int64s([]int{1}, []int64{-1}))
	d.Set("inf64", Tensor{F64, nil, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0xff}})
	d.Set("max64", Tensor{F64, nil, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xef, 0x7f}})
	d.Set("inf16", Tensor{F16, nil, []byte{0x00, 0xfc}})
	d.Set("max16", Tensor{F16, nil, []byte{0xff, 0x7b}})
	d.Set("nanb16", Tensor{BF16, nil, []byte{0xc0, 0x7f}})
	d.Set("maxb16", Tensor{BF16, nil, []byte{0x7f, 0x7f}})
	if got, want := d.NonFinite(), []string{"nan", "inf64", "inf16", "nanb16"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
