package analysis

import (
	"math/rand/v2"
	"slices"

	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
	"cure/data"
)

const imageValues = data.Height * data.Width * data.Channels

// batch is a part of images on the device: those from first on, n of them. All batches have one size; the rows behind n
// repeat the last image, and what a program says of them is not read.
type batch struct {
	first, n, size int
	host           []float32       // [size, H, W, C]
	x              *tensors.Tensor // the same on the device
	y              *tensors.Tensor // labels, int32 [size]; nil where there are none
}

// eachBatch cuts images [N, H, W, C] and their labels, which may be nil, into batches.
func eachBatch(image [3]int, images []float32, labels []int32, size int, f func(b *batch) error) error {
	n := len(images) / (image[0] * image[1] * image[2])
	size = min(size, n)
	for first := 0; first < n; first += size {
		b := &batch{first: first, n: min(size, n-first), size: size}
		b.host = rowsFrom(images, n, b)
		b.x = tensors.FromFlatDataAndDimensions(b.host, size, image[0], image[1], image[2])
		if labels != nil {
			b.y = tensors.FromFlatDataAndDimensions(rowsFrom(labels, n, b), size)
		}
		err := f(b)
		free(b.x)
		if b.y != nil {
			free(b.y)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rowsFrom are the rows of v, one for each of n images, that belong to a batch.
func rowsFrom[T any](v []T, n int, b *batch) []T {
	rows := make([]T, 0, len(v)/n*b.size)
	for k := range b.size {
		rows = append(rows, rowOf(v, b.first+min(k, b.n-1), n)...)
	}
	return rows
}

// like puts values in the shape of the images on the device.
func (b *batch) like(values []float32) *tensors.Tensor {
	return tensors.FromFlatDataAndDimensions(values, b.x.Shape().Dimensions...)
}

// each puts one value for each image on the device, [size].
func (b *batch) each(v float32) *tensors.Tensor {
	return tensors.FromValue(slices.Repeat([]float32{v}, b.size))
}

// start are the images with the start of an attack added, in the pixel box if clip says so; rng is that of image i.
func (b *batch) start(attack attacks.PGD, clip bool, rng func(i int) *rand.Rand) []float32 {
	adv := slices.Clone(b.host)
	noise := make([]float32, len(adv)/b.size)
	for row := range b.n {
		attack.Noise(noise, rng(b.first+row))
		for k, v := range noise {
			at := &adv[row*len(noise)+k]
			if *at += v; clip {
				*at = min(max(*at, 0), 1)
			}
		}
	}
	return adv
}

// streams are the random numbers of images, a stream for each.
func streams(seed uint64, name string) func(i int) *rand.Rand {
	return func(i int) *rand.Rand { return data.Stream(seed, name, uint64(i)) }
}

// rowOf is row i of n.
func rowOf[T any](v []T, i, n int) []T {
	w := len(v) / n
	return v[i*w : (i+1)*w]
}

// pixels are images in [0, 1].
func pixels(images []uint8) []float32 {
	x := make([]float32, len(images))
	for i, v := range images {
		x[i] = float32(v) / 255
	}
	return x
}

// toBytes rounds pixels in [0, 1].
func toBytes(pixels []float32) []uint8 {
	v := make([]uint8, len(pixels))
	for i, p := range pixels {
		v[i] = uint8(min(max(p, 0), 1)*255 + 0.5)
	}
	return v
}
