// Package pixelcode stores small RGB images without loss in about half their size.
//
// It is the codec of the embedded mini CIFAR-10 and nothing more general: its input and output are
// CIFAR-10 records (1 label byte, then 3 planes of 32x32 bytes in the order R, G, B).
//
// # Model
//
// Pixels are visited row by row, and at each one the channels in the order G, R, B. A sample s is predicted as
//
//	pred = W + sum_k c_k d_k
//
// where W is the left neighbour in the same channel and every d_k is the difference between an already coded
// sample and the left neighbour in its own channel: nine samples of the same channel (N, NW, NE, WW, NN, ...), five or,
// where the channel at this pixel is known, six of each other channel. Because differences are used,
// the prediction follows the local brightness and colour. The weights c_k are fixed-point numbers
// fitted by weighted least squares over the images that are packed, one set per channel and local texture
// class (direction and strength of the gradients), and are stored in the archive.
//
// The residual s - pred is written in binary decisions (bit length in unary, sign, mantissa from the top), each coded
// arithmetically with the mean of two adaptive probabilities, which are selected by how badly the neighbours were
// predicted, in this channel and in the others. The scheme is in the family of CALIC (Wu and Memon, 1997) with the
// fitted predictors of TMW (Meyer and Tischer, 1997).
//
// Decoding uses integers only, so it gives the same bytes on every processor, and every chunk carries the SHA-256
// of its records.
//
// # Format
//
// All numbers are little endian.
//
//	8 bytes   "CUREPIX1"
//	uint32    number of chunks
//	int16     weights [3 channels, 23 classes, 21 weights], 4096 = 1.0
//	per chunk uint32 records, uint32 payload bytes, 32 bytes SHA-256 of the decoded records
//	payloads  one after the other
package pixelcode
