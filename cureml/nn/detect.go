package nn

import (
	"fmt"
	"slices"
	"strings"

	"cure/cureml/weights"
)

// describe is a in words, for messages.
func (a Arch) describe() string {
	return fmt.Sprintf("%s of width %d with %d classes", a.Name, a.Width, a.Classes)
}

// detect tells from names and shapes which network the state dict d holds.
func detect(d *weights.Dict) (a Arch, ok bool) {
	channels := func(name string) int { // what the layer puts out, 0 without such a layer
		t, ok := d.Get(name + ".weight")
		if !ok || len(t.Shape) < 1 {
			return 0
		}
		return t.Shape[0]
	}
	begins := func(prefix string) bool {
		return slices.ContainsFunc(d.Names, func(name string) bool { return strings.HasPrefix(name, prefix) })
	}
	blocks := func(format string) (n int) { // how many blocks a stage has
		for n < 200 && begins(fmt.Sprintf(format, n)) {
			n++
		}
		return n
	}
	wide := func(names wideNames, suffix string) Arch {
		width, depth := channels(names.stem), blocks(strings.Replace(names.block, "%d", fmt.Sprint(names.group), 1)+".")
		widen := channels(fmt.Sprintf(names.block, names.group, 0)+"."+names.conv1) / max(width, 1)
		return Arch{Name: fmt.Sprintf("wrn-%d-%d%s", 6*depth+4, widen, suffix), Width: width, Classes: channels(names.linear)}
	}
	switch {
	case channels("init_conv") > 0:
		a = wide(deepMindNames, "-swish")
	case channels("block1.layer.0.conv1") > 0:
		a = wide(tradesNames, "")
	case channels("conv_2d") > 0:
		a = Arch{Name: "preactresnet18-swish", Width: channels("conv_2d"), Classes: channels("logits")}
	case channels("layer1.0.conv1") > 0:
		a = Arch{Width: channels("conv1"), Classes: channels("linear")}
		depths := [4]int{blocks("layer1.%d."), blocks("layer2.%d."), blocks("layer3.%d."), blocks("layer4.%d.")}
		bottleneck, stemNorm := channels("layer1.0.conv3") > 0, begins("bn1.")
		switch {
		case stemNorm && !bottleneck && depths == [4]int{2, 2, 2, 2}:
			a.Name = "resnet18"
		case stemNorm && !bottleneck && depths == [4]int{3, 4, 6, 3}:
			a.Name = "resnet34"
		case stemNorm && bottleneck && depths == [4]int{3, 4, 6, 3}:
			a.Name = "resnet50"
		case !stemNorm && !bottleneck && depths == [4]int{2, 2, 2, 2}:
			a.Name = "preactresnet18"
		}
	}
	return a, a.Validate() == nil
}
