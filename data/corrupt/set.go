package corrupt

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"cure/data"
)

// Options of Images and Set. The zero value has seed 0, starts at image 0 and uses all processors.
type Options struct {
	Seed    uint64
	First   int // index of the first image, for a part of a larger set
	Workers int // goroutines; 0 is one for each processor. The result does not depend on it.
}

// Images corrupts images, [N, 32, 32, 3], in parallel and returns new ones; image i is Image with the index First + i.
// It ends early with the error of ctx.
func Images(ctx context.Context, images []uint8, name string, severity int, o Options) ([]uint8, error) {
	out := make([]uint8, len(images))
	if err := fill(ctx, out, images, name, severity, o); err != nil {
		return nil, err
	}
	return out, nil
}

// Set is Images for a labelled set. The result shares the labels with s, and its name tells the corruption.
func Set(ctx context.Context, s *data.Set, name string, severity int, o Options) (*data.Set, error) {
	images, err := Images(ctx, s.Images, name, severity, o)
	if err != nil {
		return nil, err
	}
	v := *s
	v.Name = fmt.Sprintf("%s, %s severity %d", s.Name, name, severity)
	v.Images = images
	return &v, nil
}

// fill is Images into dst, which has the length of src.
func fill(ctx context.Context, dst, src []uint8, name string, severity int, o Options) error {
	c, err := Lookup(name)
	if err != nil {
		return err
	}
	if err := check(name, severity, o.First, o.Workers); err != nil {
		return err
	}
	if len(src)%imageLen != 0 {
		return fmt.Errorf("corrupt: %s: %d bytes are no whole number of images: want [N, %d, %d, %d], %d bytes each",
			name, len(src), side, side, channels, imageLen)
	}
	if err := c.run(ctx, dst, src, severity, o); err != nil {
		return fmt.Errorf("corrupt: %s: %w", name, err)
	}
	return nil
}

// run is fill with checked arguments. Its only error is that of ctx.
func (c *Corruption) run(ctx context.Context, dst, src []uint8, severity int, o Options) error {
	n := len(src) / imageLen
	workers := o.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(workers, n) {
		done.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				c.image(dst[i*imageLen:(i+1)*imageLen], src[i*imageLen:(i+1)*imageLen], severity, o.Seed, o.First+i)
			}
		})
	}
	done.Wait()
	return ctx.Err()
}
