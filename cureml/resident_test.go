package cureml

import (
	"bytes"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gomlx/compute"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/cureml/mltest"
	"cure/data"
	"cure/data/mini"
)

// backends are the pure Go one and, where a plugin is found, XLA.
func backends(t testing.TB) map[string]compute.Backend {
	all := map[string]compute.Backend{"go": mltest.GoBackend(t)}
	if b := mltest.Backend(t); b.Name() == "xla" {
		all["xla"] = b
	}
	return all
}

// TestViews: every one of the 162 views of an image has the pixels that the words say: shifted, 0 outside, then mirrored.
func TestViews(t *testing.T) {
	const size = 3072
	var plan []int32
	var want []uint8
	set := mini.Train()
	n := 0
	for dy := -4; dy <= 4; dy++ {
		for dx := -4; dx <= 4; dx++ {
			for flip := range 2 {
				image := set.Image(n % set.Len())
				plan = append(plan, int32(n%set.Len()), int32(dy), int32(dx), int32(flip))
				for y := range 32 {
					for x := range 32 {
						if flip == 1 {
							x = 31 - x
						}
						pixel := []uint8{0, 0, 0}
						if y+dy >= 0 && y+dy < 32 && x+dx >= 0 && x+dx < 32 {
							pixel = image[((y+dy)*32+x+dx)*3:][:3]
						}
						want = append(want, pixel...)
					}
				}
				n++
			}
		}
	}
	for name, b := range backends(t) {
		d, err := newResident(b, []part{{&source{set: set}, n}})
		if err != nil {
			t.Fatal(err)
		}
		r := &batcher{resident: d}
		got := &batch{plans: [][]int32{plan}}
		if err := r.place(got); err != nil {
			t.Fatal(err)
		}
		images, labels := onHost[uint8](t, got.images), onHost[int32](t, got.labels)
		for i := range n {
			if p := plan[4*i:][:4]; !bytes.Equal(images[i*size:][:size], want[i*size:][:size]) || labels[i] != set.Labels[p[0]] {
				t.Errorf("%s: image, DY, DX and Flip %v: other pixels or another label than the view has", name, p)
			}
		}
		got.free()
		d.free()
	}
}

func onHost[T uint8 | int32](t testing.TB, x *tensors.Tensor) []T {
	t.Helper()
	v, err := tensors.CopyFlatData[T](x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestResidentBatches: batches made on the device have the bits of the host's, augmented or not, with extra images, with
// them alone, and across the ends of passes.
func TestResidentBatches(t *testing.T) {
	extra, err := mini.Test().Slice(0, 7)
	if err != nil {
		t.Fatal(err)
	}
	sets := smallSets(t)
	sets.Extra = extra
	for name, b := range backends(t) {
		for _, fraction := range []float64{0, 0.35, 1} {
			for _, augment := range []bool{false, true} {
				c := smallConfig("natural")
				c.Augment, c.DataOnDevice = augment, "on"
				if fraction > 0 {
					c.Extra = ExtraConfig{Data: "some", Fraction: fraction}
				}
				r := newBatcher(c, sets, Method{})
				if err := r.reside(b); err != nil {
					t.Fatal(err)
				}
				for _, step := range []int{0, 1, 2, 3, 9} {
					images, labels := newBatcher(c, sets, Method{}).host(step)
					got := r.at(step)
					if err := r.place(got); err != nil {
						t.Fatal(err)
					}
					if dims := got.images.Shape().Dimensions; !slices.Equal(dims, []int{8, 32, 32, 3}) {
						t.Errorf("images have the shape %v", dims)
					}
					if !bytes.Equal(onHost[uint8](t, got.images), images) || !slices.Equal(onHost[int32](t, got.labels), labels) {
						t.Errorf("%s: extra %g, augment %v, step %d: other bits on the device than on the host", name, fraction, augment, step)
					}
					got.free()
				}
				r.resident.free()
			}
		}
	}
}

// TestResidentRuns: a run ends in the same bits whether its batches are made on the device, on the host, or first here and
// then there, also where a method replays them or its strategist attacks them.
func TestResidentRuns(t *testing.T) {
	for _, method := range []string{"cure", "free-at", "las-at"} {
		c := smallConfig(method)
		c.EvalEvery, c.Attack.Steps, c.Free.Replays = 0, 1, 2
		sets := smallSets(t)
		sets.Extra = sets.Test
		c.Extra = ExtraConfig{Data: "some", Fraction: 0.4}
		ways := map[string]trial{}
		for _, way := range []string{"off", "on"} {
			c.DataOnDevice = way
			ways[way] = trial{config: c, sets: sets, prepare: func(r *run) {
				if (r.batcher.resident != nil) != (way == "on") {
					t.Errorf("%s: data_on_device %q: resident is %v", method, way, r.batcher.resident)
				}
			}}
		}
		whole, _ := ways["off"].whole(t)
		want := outcome(t, whole) + tensorsOf(t, whole)
		for _, change := range [][2]string{{"on", "on"}, {"on", "off"}, {"off", "on"}} {
			dir := filepath.Join(t.TempDir(), "run")
			if _, err := ways[change[0]].run(t, dir, false, 2); err == nil {
				t.Errorf("%s: the run ended", method)
			}
			if _, err := ways[change[1]].run(t, dir, true, 0); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			if outcome(t, dir)+tensorsOf(t, dir) != want {
				t.Errorf("%s: data_on_device %v before and after a resumption: other bits than off", method, change)
			}
		}
	}
}

// TestResideAutomatic: an empty data_on_device is off where the device shares the host's memory.
func TestResideAutomatic(t *testing.T) {
	r := newBatcher(smallConfig("natural"), smallSets(t), Method{})
	if err := r.reside(mltest.GoBackend(t)); err != nil || r.resident != nil {
		t.Errorf("pure Go: resident %v, error %v", r.resident, err)
	}
	r.cfg.DataOnDevice = "maybe"
	if err := r.cfg.Validate(); err == nil {
		t.Error("data_on_device maybe is accepted")
	}
}

// BenchmarkBatch is a batch of 512 augmented CIFAR images: all of it on the host, the plan of it that the device needs,
// and what the device makes of the plan. The noise of an attack's start is made on the host either way.
func BenchmarkBatch(b *testing.B) {
	set := mini.Train()
	const n = 50000
	order := make([]int, n)
	for i := range order {
		order[i] = i % set.Len()
	}
	c := smallConfig("natural")
	c.Batch, c.DataOnDevice = 512, "on"
	r := newBatcher(c, Sets{Train: set.Select(order)}, Method{})
	b.Run("host", func(b *testing.B) {
		for step := range b.N {
			r.host(step % 97)
		}
	})
	b.Run("plan", func(b *testing.B) {
		for step := range b.N {
			r.plans(step % 97)
		}
	})
	b.Run("noise", func(b *testing.B) {
		pgd := c.Attack.pgd("ce", attacks.Uniform)
		for step := range b.N {
			startNoise(pgd, c.Batch, data.Stream(c.Seed, "attack", uint64(step))).MustFinalizeAll()
		}
	})
	backend := mltest.Backend(b)
	if err := r.reside(backend); err != nil {
		b.Fatal(err)
	}
	defer r.resident.free()
	b.Run("device/"+backend.Name(), func(b *testing.B) {
		plans := r.plans(0)
		for range b.N {
			made := &batch{plans: plans}
			if err := r.place(made); err != nil {
				b.Fatal(err)
			}
			made.free()
		}
	})
}
