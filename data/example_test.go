package data_test

import (
	"fmt"
	"log"

	"cure/data"
	"cure/data/mini"
)

// The batches of one training epoch: shuffled, augmented, and the same every time.
func Example() {
	train, val, err := mini.Train().HoldOut(0.1, 0)
	if err != nil {
		log.Fatal(err)
	}
	const seed, epoch, size = 0, 0, 128
	images := make([]uint8, size*data.Height*data.Width*data.Channels)
	labels := make([]int32, size)
	order := data.Order(train.Len(), seed, epoch)
	batches := 0
	for i := 0; i+size <= len(order); i += size {
		data.Batch(images, labels, train, order[i:i+size], func(dst, src []uint8, index int) {
			data.Augment(dst, src, seed, epoch, index)
		})
		batches++
	}
	fmt.Println(train.Name, train.Len(), val.Len(), batches)
	// Output: CIFAR-10 mini (exact subset) 4576 509 35
}

func ExampleSet_Slice() {
	test := mini.Test()
	first, err := test.Slice(0, 8)
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range first.Labels {
		fmt.Print(test.Classes[l], " ")
	}
	// Output: cat ship ship airplane frog frog automobile frog
}

func ExampleStream() {
	fmt.Println(data.Stream(1, "init", 0).IntN(1000) == data.Stream(1, "init", 0).IntN(1000))
	// Output: true
}
