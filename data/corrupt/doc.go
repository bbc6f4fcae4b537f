// Package corrupt makes the common corruptions of CIFAR-10-C: 15 that count and 4 for tuning, in five severities each
// (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", 2019).
//
// [Image] corrupts one image, [Set] a data set, [Save] writes a folder of npy files in the layout of CIFAR-10-C, which
// [data.OpenCorrupted] and every other reader of that layout open. [All] lists the corruptions with their groups (noise,
// blur, weather, digital). [MeanError], [MCE] and [RelativeMCE] sum up the errors of a classifier.
//
// # Source
//
// Parameters and procedures are those of ImageNet-C/create_c/make_cifar_c.py in hendrycks/robustness at 8190fe3, which made
// CIFAR-10-C. They are milder than the ImageNet severities, for which that repository and the library
// imagecorruptions have other tables. Each function names its formula and what it took from the libraries
// underneath (skimage, scipy, OpenCV, Pillow, ImageMagick).
//
// # What differs from the published files
//
// The script drew from an unseeded generator, so nobody can rebuild the published bytes. Here every random number is a
// function of the seed, the corruption, the severity and the index of the image, so that the images do not depend on the
// order, the number of workers or the rest of the set. Given the random numbers of the script, the images are those of the
// script, with three exceptions:
//
//   - frost mixes textures that this package grows itself, with the mean colours, deviations and correlations of the photographs
//     that the script loads, which are not shipped here;
//   - jpeg_compression uses Go's encoder, whose chroma samples and coefficients are rounded otherwise than libjpeg's: 0.5 to 0.8
//     grey levels away on average;
//   - defocus_blur adds directly what OpenCV adds by Fourier transform: up to 0.05 grey levels, on flat areas.
//
// Like the script, all drop the fraction of a pixel value instead of rounding it, except pixelate and jpeg_compression: images
// come out darker by half a grey level on average.
package corrupt
