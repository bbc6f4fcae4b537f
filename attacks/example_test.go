package attacks_test

import (
	"context"
	"fmt"

	"github.com/gomlx/compute"
	_ "github.com/gomlx/compute/gobackend"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"

	"cure/attacks"
)

// Two grey images of one pixel, and a model that calls an image bright (class 1) from 0.5 on. Both are right, but only
// the second is further than 8/255 from the boundary.
func ExampleEvaluate() {
	backend, err := compute.NewWithConfig("go")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer backend.Finalize()
	model := attacks.Model{
		Backend: backend, Classes: 2, Image: [3]int{1, 1, 1},
		Weights: []*tensors.Tensor{tensors.FromValue([][]float32{{-1, 1}}), tensors.FromValue([]float32{.5, -.5})},
		Logits: func(w []*graph.Node, x *graph.Node) *graph.Node {
			return graph.Add(graph.Dot(graph.Reshape(x, -1, 1), w[0]).MatMul(), graph.ExpandLeftToRank(w[1], 2))
		},
	}
	list, err := attacks.ParseList("fgsm,pgd20")
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := attacks.Evaluate(context.Background(), model, []uint8{130, 200}, []int32{1, 1}, list, attacks.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("clean", report.Clean.Accuracy)
	for _, r := range report.Attacks {
		fmt.Println(r.Name, r.RobustAccuracy, r.RobustFlags)
	}
	// Output:
	// clean 1
	// fgsm 0.5 [false true]
	// pgd20 0.5 [false true]
}

func ExampleParseEps() {
	eps, err := attacks.ParseEps("8/255")
	fmt.Printf("%.4f %v\n", eps, err)
	_, err = attacks.ParseEps("eight")
	fmt.Println(err)
	// Output:
	// 0.0314 <nil>
	// attacks: eps "eight": want a size of at least 0 in pixel units of [0, 1], such as 8/255 or 0.031
}
