package attacks

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// stream is the random source of one image in one run of one attack. It depends on these four alone, so that a verdict
// does not depend on the order of the images, their number or the batch size.
func stream(seed int64, attack string, image, run int) *rand.Rand {
	key := make([]byte, 0, 24+len(attack))
	for _, v := range []uint64{uint64(seed), uint64(image), uint64(run)} {
		key = binary.LittleEndian.AppendUint64(key, v)
	}
	sum := sha256.Sum256(append(key, attack...))
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), binary.LittleEndian.Uint64(sum[8:16])))
}
