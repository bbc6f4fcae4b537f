package pixelcode

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

func TestTmp(t *testing.T) {
	var chunks [][]byte
	for i := range 6 {
		n := fmt.Sprintf("data_batch_%d.bin", i+1)
		if i == 5 {
			n = "test_batch.bin"
		}
		b, _ := os.ReadFile("/work/shared/data/cifar10-exact-subset/" + n)
		chunks = append(chunks, b)
	}
	t0 := time.Now()
	e, err := Encode(chunks)
	t.Log(len(e), err, time.Since(t0))
	a, err := Open(e)
	if err != nil {
		t.Fatal(err)
	}
	t0 = time.Now()
	for i := range chunks {
		d, err := a.Decode(i)
		if err != nil || !bytes.Equal(d, chunks[i]) {
			t.Error(i, err)
		}
	}
	t.Log(time.Since(t0))
	_ = sha256.Size
	t0 = time.Now()
	var wg sync.WaitGroup
	for i := range chunks {
		wg.Go(func() { a.Decode(i) })
	}
	wg.Wait()
	t.Log(time.Since(t0))
}
