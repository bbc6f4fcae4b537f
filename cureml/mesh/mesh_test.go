package mesh_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/cureml/mesh"
	"cure/cureml/mltest"
)

// ramp is n numbers that say where they are.
func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i)
	}
	return v
}

// TestTensors: what goes to the devices comes back, split or on each in full, and a device has its own rows only.
func TestTensors(t *testing.T) {
	for _, n := range []int{2, 4} {
		b := mltest.Devices(t, n)
		for _, c := range []struct {
			dims  []int
			split bool
		}{{[]int{4, 32, 32, 3}, true}, {[]int{6, 32, 32, 3}, n == 2}, {[]int{4, 10}, false}, {[]int{3, 3, 4, 8}, false}, {[]int{8}, false}, {nil, false}} {
			want := ramp(size(c.dims))
			x := tensors.FromFlatDataAndDimensions(slices.Clone(want), c.dims...)
			exec := MustNewExec(b, func(x *Node) *Node { return AddScalar(x, 1) })
			y := exec.MustCall(x)[0]
			got, err := tensors.CopyFlatData[float32](y)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				want[i]++
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d devices, shape %v: values plus one come back wrong", n, c.dims)
			}
			buffer, err := y.Buffer(b, 0)
			if err != nil {
				t.Fatal(err)
			}
			parts := mesh.Parts(buffer)
			for i, p := range parts {
				shape, err := p.Shape()
				if err != nil {
					t.Fatal(err)
				}
				device, err := p.DeviceNum()
				if err != nil {
					t.Fatal(err)
				}
				rows := size(c.dims)
				if c.split {
					rows /= n
				}
				if shape.Size() != rows || int(device) != i || len(parts) != n {
					t.Errorf("%d devices, shape %v: part %d of %d has shape %s on device %d", n, c.dims, i, len(parts), shape, device)
				}
			}
		}
	}
}

func size(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// TestPrograms: labels pick rows of images, sums over the batch are over all devices, a donated tensor is replaced, and
// gradients of weights are those of the whole batch.
func TestPrograms(t *testing.T) {
	const rows = 8
	results := map[int][][]float32{}
	for _, n := range []int{1, 2, 4} {
		b := mltest.Devices(t, n)
		exec := MustNewExec(b, func(in []*Node) []*Node {
			x, y, w := in[0], in[1], in[2]
			hidden := Mul(Sin(MulScalar(x, 0.001)), w)
			mean := ReduceMean(hidden, 0, 1, 2)
			centred := Square(Sub(hidden, ExpandLeftToRank(mean, 4)))
			perImage := Mul(ReduceMean(centred, 1, 2, 3), ConvertDType(y, x.DType()))
			grad := Gradient(ReduceAllMean(perImage), w)[0]
			return []*Node{Sub(w, MulScalar(grad, 0.1)), mean, perImage, AddScalar(y, 1)}
		})
		w := tensors.FromFlatDataAndDimensions([]float32{1, 2, 3}, 1, 1, 1, 3)
		var list [][]float32
		for range 2 {
			x := tensors.FromFlatDataAndDimensions(ramp(rows*3072), rows, 32, 32, 3)
			y := tensors.FromFlatDataAndDimensions([]int32{3, 1, 4, 1, 5, 9, 2, 6}, rows)
			donated, err := DonateTensorBuffer(w, b, 0)
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.Call(x, y, donated)
			if err != nil {
				t.Fatal(err)
			}
			w = out[0]
			for _, o := range out[:3] {
				v, err := tensors.CopyFlatData[float32](o)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, v)
			}
			if labels := out[3].Value().([]int32); !slices.Equal(labels, []int32{4, 2, 5, 2, 6, 10, 3, 7}) {
				t.Errorf("%d devices: labels plus one are %v", n, labels)
			}
		}
		results[n] = list
		exec.Finalize()
	}
	for _, n := range []int{2, 4} {
		for i := range results[1] {
			mltest.Close(t, "output of several devices", results[n][i], results[1][i], 1e-6, 1e-5)
		}
	}
}

// TestOver: a CPU plugin makes as many devices as are asked for, 8 being more than it has unasked, and no backend lends
// more than it has.
func TestOver(t *testing.T) {
	one := mltest.Devices(t, 1)
	if n := mesh.Devices(one); n != 1 {
		t.Errorf("%d devices, want 1", n)
	}
	has := one.NumDevices()
	for _, n := range []int{0, has + 1} {
		if _, err := mesh.Over(one, n); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("offers %d", has)) {
			t.Errorf("%d of %d devices: %v", n, has, err)
		}
	}
	for _, n := range []int{2, 8} {
		b := mltest.Devices(t, n)
		if mesh.Devices(b) != n || b.NumDevices() != 1 || mesh.OwnMemory(b) {
			t.Errorf("%d devices seen as one: %d devices seen as %d, memory of their own %v", n, mesh.Devices(b), b.NumDevices(), mesh.OwnMemory(b))
		}
	}
}
