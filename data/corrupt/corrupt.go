package corrupt

import (
	"fmt"
	"slices"
	"strings"

	"cure/data"
)

// Severities is the number of severities: 1, the mildest, to 5.
const Severities = 5

const (
	side     = data.Height // images are square
	channels = data.Channels
	imageLen = side * side * channels
)

// Group is one of the four kinds of corruptions.
type Group string

const (
	Noise   Group = "noise"
	Blur    Group = "blur"
	Weather Group = "weather"
	Digital Group = "digital"
)

// Groups lists the groups in the usual order.
func Groups() []Group { return []Group{Noise, Blur, Weather, Digital} }

// Corruption describes one of the 19 corruptions.
type Corruption struct {
	Name   string // as in the file names of CIFAR-10-C, such as gaussian_noise
	Group  Group
	Extra  bool // one of the four for tuning, which enter neither a mean nor an mCE
	Random bool // depends on seed and index; the others depend on the image only

	// apply writes the image src, [32, 32, 3], as corrupted with level 0 to 4 to dst. The two do not overlap.
	apply func(dst, src []uint8, level int, rng draws)
}

// draws is what the corruptions need of *rand.Rand.
type draws interface {
	Uint64() uint64
	IntN(n int) int
	Float64() float64
	NormFloat64() float64
}

// corruptions in the order of the paper's tables, then the extra ones.
var corruptions = []Corruption{
	{Name: "gaussian_noise", Group: Noise, Random: true, apply: gaussianNoise},
	{Name: "shot_noise", Group: Noise, Random: true, apply: shotNoise},
	{Name: "impulse_noise", Group: Noise, Random: true, apply: impulseNoise},
	{Name: "defocus_blur", Group: Blur, apply: defocusBlur},
	{Name: "glass_blur", Group: Blur, Random: true, apply: glassBlur},
	{Name: "motion_blur", Group: Blur, Random: true, apply: motionBlur},
	{Name: "zoom_blur", Group: Blur, apply: zoomBlur},
	{Name: "snow", Group: Weather, Random: true, apply: snow},
	{Name: "frost", Group: Weather, Random: true, apply: frost},
	{Name: "fog", Group: Weather, Random: true, apply: fog},
	{Name: "brightness", Group: Weather, apply: brightness},
	{Name: "contrast", Group: Digital, apply: contrast},
	{Name: "elastic_transform", Group: Digital, Random: true, apply: elasticTransform},
	{Name: "pixelate", Group: Digital, apply: pixelate},
	{Name: "jpeg_compression", Group: Digital, apply: jpegCompression},
	{Name: "speckle_noise", Group: Noise, Extra: true, Random: true, apply: speckleNoise},
	{Name: "gaussian_blur", Group: Blur, Extra: true, apply: gaussianBlur},
	{Name: "spatter", Group: Weather, Extra: true, Random: true, apply: spatter},
	{Name: "saturate", Group: Digital, Extra: true, apply: saturate},
}

// All lists the 15 corruptions that count in the order of the paper's tables, then the 4 extra ones.
func All() []Corruption { return slices.Clone(corruptions) }

// Benchmark lists the 15 corruptions that count.
func Benchmark() []Corruption {
	return slices.DeleteFunc(All(), func(c Corruption) bool { return c.Extra })
}

// Lookup finds a corruption by its name.
func Lookup(name string) (Corruption, error) {
	i := slices.IndexFunc(corruptions, func(c Corruption) bool { return c.Name == name })
	if i < 0 {
		return Corruption{}, fmt.Errorf("corrupt: unknown corruption %q: want one of %s", name, strings.Join(names(corruptions), ", "))
	}
	return corruptions[i], nil
}

func names(list []Corruption) []string {
	var n []string
	for _, c := range list {
		n = append(n, c.Name)
	}
	return n
}

// Image writes the corrupted image src, [32, 32, 3] in RGB, to dst, which may be the same slice. severity is 1 to 5. The
// result depends on the arguments only: random corruptions draw from [data.Stream] with the name "corrupt/" + name and the
// keys severity and index, where index is the number of the image in its set.
func Image(dst, src []uint8, name string, severity int, seed uint64, index int) error {
	c, err := Lookup(name)
	if err != nil {
		return err
	}
	if err := check(name, severity, index, 0); err != nil {
		return err
	}
	if len(src) != imageLen || len(dst) != imageLen {
		return fmt.Errorf("corrupt: %s: images of %d and %d bytes: want %d, [%d, %d, %d]", name, len(src), len(dst), imageLen, side, side, channels)
	}
	c.image(dst, src, severity, seed, index)
	return nil
}

func check(name string, severity, index, workers int) error {
	if severity < 1 || severity > Severities {
		return fmt.Errorf("corrupt: %s: severity %d: want 1 to %d", name, severity, Severities)
	}
	if index < 0 {
		return fmt.Errorf("corrupt: %s: image index %d: want 0 or more", name, index)
	}
	if workers < 0 {
		return fmt.Errorf("corrupt: %s: %d workers: want 0 (one for each processor) or more", name, workers)
	}
	return nil
}

// image is Image with checked arguments.
func (c *Corruption) image(dst, src []uint8, severity int, seed uint64, index int) {
	var in [imageLen]uint8
	copy(in[:], src)
	var rng draws
	if c.Random {
		rng = data.Stream(seed, "corrupt/"+c.Name, uint64(severity), uint64(index))
	}
	c.apply(dst, in[:], severity-1, rng)
}
