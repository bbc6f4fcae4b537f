// Command pack makes the file that package mini embeds from the official binary version of CIFAR-10:
//
//	go run ./data/mini/internal/pack -from cifar-10-batches-bin -records 1017 -to data/mini/cifar10.bin
//
// Running it on the same records and the same kind of processor gives the same file; decoding it gives the same records
// everywhere.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"cure/data/mini/internal/pixelcode"
)

// recordLen is the length of a CIFAR-10 record.
const recordLen = 1 + 3*32*32

// files are in the order of the chunks of package mini.
var files = []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}

func main() {
	from := flag.String("from", "", "folder with data_batch_1.bin ... data_batch_5.bin and test_batch.bin")
	records := flag.Int("records", 1017, "records to take from the beginning of each file")
	to := flag.String("to", "", "file to write")
	flag.Parse()
	if *from == "" || *to == "" || *records < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := pack(*from, *records, *to); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pack(from string, records int, to string) error {
	var chunks [][]byte
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		if len(b) < records*recordLen {
			return fmt.Errorf("pack: %s: %d bytes, want %d records of %d bytes or more", name, len(b), records, recordLen)
		}
		chunks = append(chunks, b[:records*recordLen])
	}
	packed, err := pixelcode.Encode(chunks)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := verify(packed, chunks); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := renameio.WriteFile(to, packed, 0o644); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return nil
}

// verify decodes what was packed and compares.
func verify(packed []byte, chunks [][]byte) error {
	a, err := pixelcode.Open(packed)
	if err != nil {
		return err
	}
	for i, want := range chunks {
		got, err := a.Decode(i)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s: decoding does not give back the records", files[i])
		}
	}
	return nil
}
