package data

import (
	"bufio"
	"fmt"
	"io"
)

// readSVHN reads the cropped-digit format of SVHN: X, uint8 [32, 32, 3, N], and y, [N, 1] with 1..10, where 10 is the digit 0.
func readSVHN(r io.Reader, split, file string) (*Set, error) {
	arrays, err := readMAT(bufio.NewReaderSize(r, 1<<16), file, func(name string) bool { return name == "X" || name == "y" })
	if err != nil {
		return nil, err
	}
	x, y := arrays["X"], arrays["y"]
	if x == nil || y == nil {
		return nil, fmt.Errorf("data: %s: want the arrays X and y of an SVHN file, got X: %t, y: %t", file, x != nil, y != nil)
	}
	// MATLAB drops trailing dimensions of 1, so a single image has three.
	dims := x.dims
	if len(dims) == 3 {
		dims = append(dims, 1)
	}
	if len(dims) != 4 || dims[0] != Height || dims[1] != Width || dims[2] != Channels || dims[3] < 1 || x.storage != miUINT8 {
		return nil, fmt.Errorf("data: %s: X has dimensions %v and storage type %d, want [32 32 3 N] and type %d (uint8)", file, x.dims, x.storage, miUINT8)
	}
	n := dims[3]
	if n > maxRecords {
		return nil, fmt.Errorf("data: %s: %d images, want at most %d", file, n, maxRecords)
	}
	if len(y.dims) != 2 || y.dims[0] != 1 && y.dims[1] != 1 || y.count() != n {
		return nil, fmt.Errorf("data: %s: y has dimensions %v, want [%d 1]", file, y.dims, n)
	}
	s := &Set{Name: "SVHN", Split: split, Classes: append([]string(nil), svhnClasses...), Images: x.data, Labels: make([]int32, n)}
	for i := range s.Labels {
		v := y.at(i)
		if v != float64(int32(v)) || v < 1 || v > 10 {
			return nil, fmt.Errorf("data: %s: y: record %d: label %v, want 1 to 10 (10 is the digit 0)", file, i, v)
		}
		s.Labels[i] = int32(v) % 10
	}
	var columns [imageLen]uint8
	for i := range s.Labels {
		img := s.Image(i)
		copy(columns[:], img)
		rowsFromColumns(img, &columns)
	}
	return s, nil
}

// rowsFromColumns turns one image from MATLAB's order, in which the row index runs fastest, into [32, 32, 3].
func rowsFromColumns(dst []uint8, src *[imageLen]uint8) {
	for i, v := range src {
		row, col, ch := i%Height, i/Height%Width, i/(Height*Width)
		dst[(row*Width+col)*Channels+ch] = v
	}
}
