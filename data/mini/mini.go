package mini

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"cure/data"
	"cure/data/mini/internal/pixelcode"
)

// Name is the label of results obtained on this set.
const Name = "CIFAR-10 mini (exact subset)"

// trainChunks is the number of chunks with training records; the chunk after them holds the test records.
const trainChunks = 5

// The folder is the official cifar-10-batches-bin.
//go:generate go run ./internal/pack -from $CIFAR10_FOLDER -records 1017 -to cifar10.bin

//go:embed cifar10.bin
var packed []byte

var (
	archive  = sync.OnceValues(func() (*pixelcode.Archive, error) { return pixelcode.Open(packed) })
	trainSet = sync.OnceValue(func() *data.Set { return decode("train", 0, trainChunks) })
	testSet  = sync.OnceValue(func() *data.Set { return decode("test", trainChunks, trainChunks+1) })
)

// Train is the training part, 5,085 images. Every call returns a new Set with the same images, which are read-only.
func Train() *data.Set { return own(trainSet()) }

// Test is the test part, 1,017 images. Every call returns a new Set with the same images, which are read-only.
func Test() *data.Set { return own(testSet()) }

func own(s *data.Set) *data.Set {
	c := *s
	c.Classes = slices.Clone(s.Classes)
	return &c
}

// decode unpacks the chunks from a to b-1. It panics if they are damaged: the program itself is, then.
func decode(split string, a, b int) *data.Set {
	arc, err := archive()
	if err != nil {
		panic(fmt.Sprintf("mini: the embedded images are damaged: %v", err))
	}
	parts := make([][]byte, b-a)
	errs := make([]error, b-a)
	var wait sync.WaitGroup
	for i := range parts {
		wait.Go(func() { parts[i], errs[i] = arc.Decode(a + i) })
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			panic(fmt.Sprintf("mini: the embedded images are damaged: %v", err))
		}
	}
	s, err := data.DecodeCIFAR10(Name, split, slices.Concat(parts...))
	if err != nil {
		panic(fmt.Sprintf("mini: the embedded images are damaged: %v", err))
	}
	return s
}
