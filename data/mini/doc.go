// Package mini is a small exact part of CIFAR-10 that is compiled into the program: the first 1,017 records of each of the
// official files data_batch_1 to data_batch_5 (training, 5,085 images) and test_batch (test, 1,017 images), in their order and
// bit for bit. It serves demonstrations, tests and quick experiments on machines without the full data set.
//
// A result obtained on it is labelled "CIFAR-10 mini (exact subset)". Its test images are the first 1,017 of the official test
// set, which is too few to tell robust accuracies apart that differ by less than about 3 percentage points (two standard
// errors at 50%).
//
// The images are by Alex Krizhevsky, Vinod Nair and Geoffrey Hinton ("Learning Multiple Layers of Features from Tiny Images",
// 2009). They are stored without loss by the sibling package internal/pixelcode and decoded on first use, in about a second of
// processor time, spread over the processors.
package mini
