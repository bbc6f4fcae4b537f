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
	file, err := os.ReadFile(os.Args[1])
	if err == nil {
		file, err = planes.Pack(file)
	}
	if err == nil {
		err = renameio.WriteFile(os.Args[2], file, 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}
