// Command pack makes the files that package zoo embeds:
//
//	go run ./cureml/zoo/internal/pack runs/natural/final.safetensors cureml/zoo/natural.planes.gz
package main

import (
	"fmt"
	"os"

	"github.com/google/renameio/v2"

	"cure/cureml/zoo/internal/planes"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack IN.safetensors OUT.planes.gz")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(from, to string) error {
	file, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	packed, err := planes.Pack(file)
	if err != nil {
		return err
	}
	return renameio.WriteFile(to, packed, 0o644)
}
