// Package data reads the image sets of adversarial-robustness research and feeds them to training.
//
// A [Set] holds 32x32 RGB images as bytes in the layout [N, 32, 32, 3] with one label each. [Open] recognises what lies at a
// path: the official binary files or archives of CIFAR-10 and CIFAR-100, the .mat files of SVHN, a tarball of JPEG
// images, or an npz file of generated ones. [Download] fetches the official files. [OpenCorrupted] opens a folder like CIFAR-10-C, and the sub-package
// corrupt makes such images. The sub-package mini carries 6,102 exact CIFAR-10 images inside the program.
//
// # Randomness
//
// Everything random is a pure function of a root seed: [Stream] gives one generator per name and key, [Order] the order of
// an epoch, and [Augment] the crop and flip of one image in one epoch. A training run that resumes in the middle of
// an epoch therefore sees exactly the batches that it would have seen without the interruption.
//
// # Model selection
//
// The test split is for reporting only. A method that selects checkpoints does so on images that [Set.HoldOut] takes
// out of the training split.
//
// # Bad input
//
// Readers check every size, label and name, and return a one-line error with the file and the offset. Archives are
// read without being unpacked; absolute names, "..", links and devices in them are refused, and what they expand to
// is limited.
package data
