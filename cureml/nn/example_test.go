package nn_test

import (
	"fmt"

	"cure/cureml/nn"
)

// A network is a list of tensors with PyTorch's names; Init gives it start values on the host.
func Example() {
	arch, err := nn.Parse("wrn-28-10", 0, 10) // 0: the published base width
	if err != nil {
		panic(err)
	}
	list, err := arch.Tensors()
	if err != nil {
		panic(err)
	}
	parameters := 0
	for _, t := range list {
		if t.Kind.Trainable() {
			parameters += t.Size()
		}
	}
	fmt.Println(arch, parameters)
	fmt.Println(list[1].Name, list[1].Shape)

	small, _ := nn.Parse("resnet18", 16, 10)
	state, err := nn.Init(small, 0)
	if err != nil {
		panic(err)
	}
	fmt.Println(len(state.Values["conv1.weight"]), state.Dict().Tensors["conv1.weight"].Shape)
	// Output:
	// wrn-28-10-w16 36479194
	// block1.layer.0.bn1.weight [16]
	// 432 [16 3 3 3]
}
