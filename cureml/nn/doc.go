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
//
// # Networks
//
//	resnet18, resnet34, resnet50  kuangliu/pytorch-cifar models/resnet.py, also NeurAI-Lab/CURE with its CIFAR stem
//	preactresnet18                locuslab/robust_overfitting, RobustBench and CURE: final norm bn; kuangliu's without it
//	preactresnet18-raw            locuslab/fast_adversarial, tml-epfl/understanding-fast-adv-training: no final norm,
//	                              shortcut convolutions of the block's input; the names are those of preactresnet18
//	wrn-D-K                       yaodongyu/TRADES models/wideresnet.py (34-10 there), without dropout
//	wrn-D-K-swish                 google-deepmind/deepmind-research adversarial_robustness, RobustBench DMWideResNet:
//	                              SiLU, TensorFlow's padding, normalised images; Gowal2020, Rebuffi2021, Wang2023 ...
//	preactresnet18-swish          the same sources' PreActResNet: shortcuts are 3x3 convolutions
//
// Running statistics move by 0.1, PyTorch's default, in all of them; the training code that imrahulr and others published
// for the -swish forms moves them by 0.01.
package nn
