package weights_test

import (
	"fmt"
	"log"

	"cure/cureml/weights"
)

// A checkpoint of PyTorch with an optimizer and an epoch beside the state dict.
func Example() {
	checkpoint, err := weights.Read("testdata/state_dict.pt")
	if err != nil {
		log.Fatal(err)
	}
	state := weights.Peel(checkpoint)
	for _, name := range state.Names {
		t, _ := state.Get(name)
		fmt.Println(name, t.DType, t.Shape)
	}
	fmt.Println("with NaN or infinity:", state.NonFinite())
	// Output:
	// conv1.weight F32 [2 3 3 3]
	// bn1.weight F32 [2]
	// bn1.bias F32 [2]
	// bn1.running_mean F32 [2]
	// bn1.running_var F32 [2]
	// bn1.num_batches_tracked I64 []
	// linear.weight F32 [4 2]
	// linear.bias F32 [4]
	// with NaN or infinity: []
}
