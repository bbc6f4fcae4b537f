package similarity

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/mat"

	"cure/cureml/mltest"
	"cure/cureml/nn"
)

// BenchmarkLinearCKA is linear CKA, biased and unbiased, of all pairs of stem, eight blocks and logits of a ResNet-18 of
// width 64 on 1,000 images:
//
//	go test ./cureml/similarity -run NONE -bench LinearCKA -benchtime 1x
//
// forward-s are the seconds of the forward passes with their compilation, gram-s and cka-s those of the rest, which ns/op
// adds up; peak-MiB is the largest resident size of the process.
func BenchmarkLinearCKA(b *testing.B) {
	s, err := nn.Init(nn.Arch{Name: "resnet18", Width: 64, Classes: 10}, 0)
	if err != nil {
		b.Fatal(err)
	}
	const n = 1000
	images, backend := clean(n), mltest.XLA(b)
	for b.Loop() {
		b.StopTimer()
		clock := time.Now()
		lap := func(name string) {
			b.ReportMetric(time.Since(clock).Seconds(), name)
			clock = time.Now()
		}
		layers, err := Activations(backend, s, images, 50, false)
		if err != nil {
			b.Fatal(err)
		}
		lap("forward-s")
		b.StartTimer()
		grams, err := NewGrams(backend)
		if err != nil {
			b.Fatal(err)
		}
		var list []*mat.SymDense
		for _, l := range layers {
			k, err := grams.Linear(l.Values, n)
			if err != nil {
				b.Fatal(err)
			}
			list = append(list, k)
		}
		grams.Close()
		lap("gram-s")
		for _, k := range list {
			for _, l := range list {
				if v, u := CKA(k, l), UnbiasedCKA(k, l); !(v > 0 && v < 1.001 && u < 1.001) {
					b.Fatalf("CKA %v, unbiased %v", v, u)
				}
			}
		}
		lap("cka-s")
	}
	b.ReportMetric(peakMiB(), "peak-MiB")
}

// peakMiB is VmHWM of Linux, 0 elsewhere.
func peakMiB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}
