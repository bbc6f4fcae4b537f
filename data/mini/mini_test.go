package mini

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cure/data"
)

// sums are the SHA-256 of the first 1,017 records of each official file, data_batch_1.bin ... data_batch_5.bin, test_batch.bin.
var sums = []string{
	"ea2c7a46f23371a3f814ce8e198838201147e8e6d1f8a84baa3583ebbec03247",
	"57dc4e8db7ddc925938d1f2821ee0b499020fa077bedd98d88e6459c7cacb2ab",
	"be335161c2afa9c985a48c2dec47238b9438dd6686773cc9725a5bfc8217e3f2",
	"34046a49d60fa18b42147571ad4e995a81c77fb47b46fef2e0798d19c0a30303",
	"e04d47eac99eb22c5406c696680423d9d7ff080be029363b6c6b947c5165f985",
	"c77ad46116beb3508f55d38aa34893560beae9515f9aca4a4dd0ea3617ac289e",
}

const perFile = 1017

func TestExact(t *testing.T) {
	train, test := Train(), Test()
	if train.Len() != 5*perFile || test.Len() != perFile || train.Split != "train" || test.Split != "test" || train.Name != Name {
		t.Fatalf("%s: %d %s and %d %s images", train.Name, train.Len(), train.Split, test.Len(), test.Split)
	}
	for i, want := range sums {
		part := test
		if i < 5 {
			var err error
			if part, err = train.Slice(i*perFile, (i+1)*perFile); err != nil {
				t.Fatal(err)
			}
		}
		b, err := part.EncodeCIFAR10()
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(b); hex.EncodeToString(got[:]) != want {
			t.Errorf("file %d: SHA-256 %x, want %s", i, got, want)
		}
	}
}

// TestSumsOfSource compares the constants above and every image with the source, where it is on this machine.
func TestSumsOfSource(t *testing.T) {
	shared := filepath.Join("..", "..", "..", "shared", "data")
	list, err := os.Open(filepath.Join(shared, "SHA256SUMS"))
	if err != nil {
		t.Skip("the exact subset is not on this machine")
	}
	defer list.Close()
	stated := map[string]string{}
	for s := bufio.NewScanner(list); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) == 2 {
			stated[filepath.Base(f[1])] = f[0]
		}
	}
	for i, f := range []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"} {
		if stated[f] != sums[i] {
			t.Errorf("%s: SHA-256 %s, want %s", f, sums[i], stated[f])
		}
	}
	for split, mine := range map[string]*data.Set{"train": Train(), "test": Test()} {
		s, err := data.Open(filepath.Join(shared, "cifar10-exact-subset"), split)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(s.Images, mine.Images) {
			t.Errorf("%s: images differ from those that data.Open reads", split)
		}
	}
}

func TestSetsAreSeparate(t *testing.T) {
	a := Test()
	a.Classes[0], a.Name = "zeppelin", "changed"
	if b := Test(); b.Classes[0] != "airplane" || b.Name != Name {
		t.Errorf("a caller changed the embedded set: %s, %s", b.Name, b.Classes[0])
	}
}

// BenchmarkDecode is the time to the first image.
func BenchmarkDecode(b *testing.B) {
	for b.Loop() {
		decode("train", 0, trainChunks)
		decode("test", trainChunks, trainChunks+1)
	}
	b.ReportMetric(float64(len(packed)), "packed-bytes")
}
