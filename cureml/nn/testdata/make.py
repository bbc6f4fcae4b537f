"""Writes the small checkpoints of this folder with PyTorch, and what PyTorch computes with them.

    python make.py        # writes into the folder of this script

The modules are written for this purpose from the published architectures; their state dicts have the names, order and
layouts of the repositories named beside them.
"""

import json
import os

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(20240917)


def conv(i, o, k=3, stride=1, padding=None):
    return nn.Conv2d(i, o, k, stride, k // 2 if padding is None else padding, bias=False)


class Net(nn.Module):
    """Any network of this file: subclasses fill self and define features(x) -> [B, C, h, w]."""

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


# --- kuangliu/pytorch-cifar: resnet.py, preact_resnet.py -------------------------------------------------------------

class Basic(nn.Module):
    expansion = 1

    def __init__(self, i, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes), nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or i != planes:
            self.shortcut = nn.Sequential(conv(i, planes, 1, stride), nn.BatchNorm2d(planes))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, i, planes, stride):
        super().__init__()
        o = 4 * planes
        self.conv1, self.bn1 = conv(i, planes, 1), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv(planes, planes, 3, stride), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = conv(planes, o, 1), nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x))


class PreAct(nn.Module):
    expansion = 1
    raw = False  # the shortcut convolution sees x instead of relu(bn1(x))

    def __init__(self, i, planes, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, planes, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(planes), conv(planes, planes)
        if stride != 1 or i != planes:
            self.shortcut = nn.Sequential(conv(i, planes, 1, stride))

    def forward(self, x):
        a = F.relu(self.bn1(x))
        side = self.shortcut(x if self.raw else a) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(a)))) + side


class PreActRaw(PreAct):
    """locuslab/fast_adversarial and tml-epfl/understanding-fast-adv-training."""
    raw = True


def stages(net, block, width, depths, name, first):
    """Adds the stages to net, names counted from first; returns the channels of the last."""
    i = width
    for s, depth in enumerate(depths):
        blocks = []
        for j in range(depth):
            blocks.append(block(i, width << s, 2 if s > 0 and j == 0 else 1))
            i = (width << s) * block.expansion
        setattr(net, name % (first + s), nn.Sequential(*blocks))
    return i


class ResNet(Net):
    def __init__(self, block, depths, width, classes=10):
        super().__init__()
        self.conv1, self.bn1 = conv(3, width), nn.BatchNorm2d(width)
        out = stages(self, block, width, depths, "layer%d", 1)
        self.linear = nn.Linear(out, classes)

    def features(self, x):
        return self.layer4(self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x)))))))

    def head(self, x):
        return self.linear(x)


class PreActResNet(Net):
    """With final_bn as in locuslab/robust_overfitting, RobustBench and NeurAI-Lab/CURE."""

    def __init__(self, block, depths, width, classes=10, final_bn=True):
        super().__init__()
        self.conv1 = conv(3, width)
        out = stages(self, block, width, depths, "layer%d", 1)
        if final_bn:
            self.bn = nn.BatchNorm2d(out)
        self.linear = nn.Linear(out, classes)

    def features(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return F.relu(self.bn(x)) if hasattr(self, "bn") else x

    def head(self, x):
        return self.linear(x)


# --- yaodongyu/TRADES: models/wideresnet.py --------------------------------------------------------------------------

class Wide(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o)
        self.convShortcut = conv(i, o, 1, stride) if i != o else None

    def forward(self, x):
        a = F.relu(self.bn1(x))
        y = self.conv2(F.relu(self.bn2(self.conv1(a))))
        return y + (x if self.convShortcut is None else self.convShortcut(a))


class Group(nn.Module):
    def __init__(self, block, n, i, o, stride, name):
        super().__init__()
        self.name = name
        setattr(self, name, nn.Sequential(*[block(i if j == 0 else o, o, stride if j == 0 else 1) for j in range(n)]))

    def forward(self, x):
        return getattr(self, self.name)(x)


class WideResNet(Net):
    def __init__(self, depth, widen, width=16, classes=10, sub_block1=True):
        super().__init__()
        n, w = (depth - 4) // 6, width * widen
        self.conv1 = conv(3, width)
        self.block1 = Group(Wide, n, width, w, 1, "layer")
        if sub_block1:
            self.sub_block1 = Group(Wide, n, width, w, 1, "layer")  # never used, but part of the official files
        self.block2 = Group(Wide, n, w, 2 * w, 2, "layer")
        self.block3 = Group(Wide, n, 2 * w, 4 * w, 2, "layer")
        self.bn1 = nn.BatchNorm2d(4 * w)
        self.fc = nn.Linear(4 * w, classes)

    def features(self, x):
        return F.relu(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))))

    def head(self, x):
        return self.fc(x)


# --- google-deepmind/deepmind-research adversarial_robustness/pytorch/model_zoo.py, as in RobustBench ----------------

def same(x, stride):
    """Zeros around x so that a 3x3 convolution pads as TensorFlow's SAME."""
    return F.pad(x, (1, 1, 1, 1) if stride == 1 else (0, 1, 0, 1))


class SwishWide(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.conv_0 = nn.BatchNorm2d(i), conv(i, o, 3, stride, 0)
        self.batchnorm_1, self.conv_1 = nn.BatchNorm2d(o), conv(o, o)
        self.shortcut = conv(i, o, 1, stride) if i != o else None

    def forward(self, x):
        a = F.silu(self.batchnorm_0(x))
        y = self.conv_1(F.silu(self.batchnorm_1(self.conv_0(same(a, self.stride)))))
        return y + (x if self.shortcut is None else self.shortcut(a))


class SwishPreAct(nn.Module):
    expansion = 1

    def __init__(self, i, o, stride):
        super().__init__()
        self.stride = stride
        self.batchnorm_0, self.conv_2d_1 = nn.BatchNorm2d(i), conv(i, o, 3, stride, 0)
        self.batchnorm_1, self.conv_2d_2 = nn.BatchNorm2d(o), conv(o, o)
        if stride != 1 or i != o:
            self.shortcut = conv(i, o, 3, stride, 0)

    def forward(self, x):
        side = self.shortcut(same(x, self.stride)) if hasattr(self, "shortcut") else x
        y = self.conv_2d_1(same(F.silu(self.batchnorm_0(x)), self.stride))
        return self.conv_2d_2(F.silu(self.batchnorm_1(y))) + side


class Swish(Net):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def head(self, x):
        return self.logits(x)


class SwishWideResNet(Swish):
    def __init__(self, depth, widen, width=16, classes=10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25)):
        super().__init__(mean, std)
        n, w = (depth - 4) // 6, width * widen
        self.init_conv = conv(3, width)
        self.layer = nn.Sequential(Group(SwishWide, n, width, w, 1, "block"), Group(SwishWide, n, w, 2 * w, 2, "block"),
                                   Group(SwishWide, n, 2 * w, 4 * w, 2, "block"))
        self.batchnorm = nn.BatchNorm2d(4 * w)
        self.logits = nn.Linear(4 * w, classes)

    def features(self, x):
        return F.silu(self.batchnorm(self.layer(self.init_conv((x - self.mean) / self.std))))


class SwishPreActResNet(Swish):
    def __init__(self, width=64, classes=10, mean=(0.4914, 0.4822, 0.4465), std=(0.2471, 0.2435, 0.2616)):
        super().__init__(mean, std)
        self.conv_2d = conv(3, width)
        out = stages(self, SwishPreAct, width, (2, 2, 2, 2), "layer_%d", 0)
        self.batchnorm = nn.BatchNorm2d(out)
        self.logits = nn.Linear(out, classes)

    def features(self, x):
        x = self.conv_2d((x - self.mean) / self.std)
        return F.silu(self.batchnorm(self.layer_3(self.layer_2(self.layer_1(self.layer_0(x))))))


class Normalised(nn.Module):
    """Subtracts mean and divides by std in a layer of its own, as many evaluation scripts do."""

    def __init__(self, net, mean, std):
        super().__init__()
        self.normalize = nn.Module()
        self.normalize.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.normalize.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.model = net

    def forward(self, x):
        return self.model((x - self.normalize.mean) / self.normalize.std)


class MuSigma(PreActResNet):
    """As the classes of RobustBench's model_zoo/cifar10.py for networks that were trained on normalised images."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.register_buffer("mu", torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1))
        self.register_buffer("sigma", torch.tensor([0.2471, 0.2435, 0.2616]).view(1, 3, 1, 1))

    def forward(self, x):
        return super().forward((x - self.mu) / self.sigma)


def randomise(net, half=False):
    """Random weights and random batch-norm statistics; nothing keeps a start value that could hide a mistake."""
    for name, m in net.named_modules():
        if isinstance(m, nn.BatchNorm2d):
            m.weight.data.uniform_(0.5, 1.5)
            if name.endswith("bn3"):
                m.weight.data *= 0.25  # 16 narrow bottlenecks of full strength amplify rounding errors 50 times
            m.bias.data.normal_(0, 0.2)
            m.running_mean.normal_(0, 0.3)
            m.running_var.uniform_(0.5, 2)
            m.num_batches_tracked.fill_(7)
        elif isinstance(m, nn.Conv2d):
            fan_in = m.weight[0].numel()
            m.weight.data.normal_(0, fan_in ** -0.5)
    if half:
        for t in list(net.parameters()) + list(net.buffers()):
            if t.is_floating_point():
                t.data = t.data.half().float()
    return net


images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
images[0] //= 64  # a dark image
expected = {"images": images}


def record(name, net):
    """Logits in float64 of the float32 weights, rounded to float32; eval mode first, because train mode moves statistics."""
    x = images.double() / 255
    net = net.double()
    with torch.no_grad():
        net.eval()
        expected[name + ".logits_eval"] = net(x).float()
        net.train()
        expected[name + ".logits_train"] = net(x).float()
    buffers = dict(net.named_buffers())
    for k in [k for k in buffers if k.endswith("running_mean") or k.endswith("running_var")][-2:]:
        expected[name + ".after_train." + k.split(".")[-1]] = buffers[k].float()


def state(net, dtype=torch.float32):
    return {k: v.clone().to(dtype) if v.is_floating_point() else v.clone() for k, v in net.state_dict().items()}


def write(file, net, prefix="", wrap=None, dtype=torch.float32):
    tensors = {prefix + k: v for k, v in state(net, dtype).items()}
    if file.endswith(".safetensors"):
        save_file(tensors, file, metadata={"format": "pt"})
    else:
        torch.save(wrap(tensors), file)
    record(file.split(".")[0], net)


W = 2
write("resnet18.safetensors", randomise(ResNet(Basic, (2, 2, 2, 2), W)))
write("resnet50.safetensors", randomise(ResNet(Bottleneck, (3, 4, 6, 3), W), half=True), dtype=torch.float16)
write("preactresnet18.safetensors", randomise(MuSigma(PreAct, (2, 2, 2, 2), W)))
write("preactresnet18_older.pt", randomise(PreActResNet(PreAct, (2, 2, 2, 2), W, final_bn=False)), prefix="module.",
      wrap=lambda d: {"epoch": 3, "state_dict": d, "best_acc": 0.5})
write("preactresnet18_raw.safetensors",
      randomise(Normalised(PreActResNet(PreActRaw, (2, 2, 2, 2), W, final_bn=False), [0.5, 0.4, 0.3], [0.2, 0.3, 0.25])))
write("wrn-16-2.safetensors", randomise(WideResNet(16, 2, W)), prefix="module.")
write("wrn-16-2-swish.safetensors", randomise(SwishWideResNet(16, 2, W)))
write("preactresnet18-swish.safetensors", randomise(SwishPreActResNet(W)))
save_file({k: v.contiguous() for k, v in expected.items()}, "expected.safetensors")

# The published sizes: the number of parameters, and the names and shapes of the state dict for one of each naming.
full = {
    "resnet18": ResNet(Basic, (2, 2, 2, 2), 64), "resnet34": ResNet(Basic, (3, 4, 6, 3), 64),
    "resnet50": ResNet(Bottleneck, (3, 4, 6, 3), 64), "preactresnet18": PreActResNet(PreAct, (2, 2, 2, 2), 64),
    "preactresnet18-raw": PreActResNet(PreActRaw, (2, 2, 2, 2), 64, final_bn=False),
    "preactresnet18-swish": SwishPreActResNet(), "wrn-28-10": WideResNet(28, 10, sub_block1=False),
    "wrn-34-10": WideResNet(34, 10, sub_block1=False), "wrn-28-10-swish": SwishWideResNet(28, 10),
}
structure = {name: {"parameters": sum(p.numel() for p in net.parameters())} for name, net in full.items()}
for name in sorted(full.keys() - {"preactresnet18-raw", "wrn-34-10", "wrn-28-10-swish"}):
    structure[name]["tensors"] = [[k, list(v.shape)] for k, v in full[name].state_dict().items()]
with open("structure.json", "w") as f:
    f.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in structure.items()) + "\n}\n")
