package corrupt

import (
	"bytes"
	"image"
	"image/jpeg"

	"cure/data"
)

// jpegCompression encodes the image as JPEG with chroma at half the size (4:2:0) and decodes it as libjpeg does. The encoder
// is Go's: its quantisation tables are libjpeg's, its roundings are not.
func jpegCompression(dst, src []uint8, level int, _ draws) {
	quality := [Severities]int{80, 65, 58, 50, 40}[level]
	img := image.NewRGBA(image.Rect(0, 0, side, side))
	for i := range side * side {
		copy(img.Pix[4*i:], src[i*channels:(i+1)*channels])
		img.Pix[4*i+3] = 255
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: quality}); err != nil {
		panic("corrupt: jpeg: " + err.Error()) // a buffer takes everything
	}
	pixels, err := data.DecodeJPEG(file.Bytes())
	if err != nil {
		panic("corrupt: jpeg: " + err.Error()) // our own file
	}
	copy(dst, pixels)
}
