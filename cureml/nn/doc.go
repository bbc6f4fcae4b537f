// Package nn builds the image classifiers of the adversarial-training literature as gomlx graphs.
//
// A network is a function of named tensors: [Arch] says which network, [Net] holds its tensors inside one graph,
// and [Net.Forward] maps images [B, 32, 32, 3] in [0,1] to logits [B, classes]. Nothing is hidden in a store: running
// statistics are entries of [Net.Vars] like the weights, and a training-mode pass replaces them there.
//
// Names are PyTorch's (conv1.weight, layer1.0.bn1.running_mean, ...), so checkpoints travel in both directions through
// [State.Dict] and [Load]. Inside, convolutions are [kh, kw, in, out] and linear layers [in, out], the layouts that XLA
// runs fastest with NHWC images; outside they are PyTorch's [out, in, kh, kw] and [out, in].
//
// Batch norm has the three modes of the literature, [Eval], [Train] and [TrainFrozen]; see [Mode].
package nn
