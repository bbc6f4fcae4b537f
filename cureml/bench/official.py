"""Runs the official AutoAttack on a ResNet-18 and counts its passes; cure bench autoattack starts it.

Standard input: one line of JSON with official (folder of github.com/fra31/auto-attack), weights (safetensors with
PyTorch's names), width, images (file of uint8 [N, 32, 32, 3]), labels, norm, eps, seed, threads.
Standard output: one line of JSON with clean and robust flags, seconds, and forward and backward passes over images.
"""
import json
import struct
import sys
import time

import numpy
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def fold(self):
        self.conv1, self.bn1 = fuse_conv_bn_eval(self.conv1, self.bn1), nn.Identity()
        self.conv2, self.bn2 = fuse_conv_bn_eval(self.conv2, self.bn2), nn.Identity()
        if len(self.shortcut):
            self.shortcut = nn.Sequential(fuse_conv_bn_eval(*self.shortcut))

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class ResNet18(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for k in range(4):
            outputs = width << k
            first = Block(inputs, outputs, 1 if k == 0 else 2)
            setattr(self, f"layer{k + 1}", nn.Sequential(first, Block(outputs, outputs, 1)))
            inputs = outputs
        self.linear = nn.Linear(inputs, classes)

    def fold(self):
        self.conv1, self.bn1 = fuse_conv_bn_eval(self.conv1, self.bn1), nn.Identity()
        for module in list(self.modules()):
            if isinstance(module, Block):
                module.fold()
        return self

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.linear(x.mean((2, 3)))


def read(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header, content = json.loads(file.read(size)), file.read()
    kinds = {"F32": numpy.float32, "I64": numpy.int64}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            values = numpy.frombuffer(content[begin:end], kinds[entry["dtype"]]).reshape(entry["shape"])
            tensors[name] = torch.from_numpy(values.copy())
    return tensors


def main():
    job = json.loads(sys.stdin.readline())
    sys.path.insert(0, job["official"])
    from autoattack import AutoAttack

    torch.set_num_threads(job["threads"])
    tensors = read(job["weights"])
    model = ResNet18(job["width"], tensors["linear.weight"].shape[0])
    model.load_state_dict(tensors, strict=False)
    model = model.eval().fold().to(memory_format=torch.channels_last)  # its quicker layout on a CPU
    labels = torch.tensor(job["labels"])
    images = numpy.fromfile(job["images"], numpy.uint8).reshape(len(labels), 32, 32, 3)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255

    passes = {"forwards": 0, "backwards": 0}
    latest = [0]  # images in the last forward pass

    def counted_forward(module, inputs, output):
        latest[0] = len(output)
        passes["forwards"] += len(output)

    model.register_forward_hook(counted_forward)
    gradient, backward = torch.autograd.grad, torch.Tensor.backward

    def counted(outputs, inputs, *args, **kwargs):
        first = inputs[0] if isinstance(inputs, (list, tuple)) else inputs
        passes["backwards"] += len(first)
        return gradient(outputs, inputs, *args, **kwargs)

    def counted_backward(self, *args, **kwargs):  # of FAB, right after its forward pass
        passes["backwards"] += latest[0]
        return backward(self, *args, **kwargs)

    torch.autograd.grad, torch.Tensor.backward = counted, counted_backward
    attack = AutoAttack(model, norm=job["norm"], eps=job["eps"], version="standard", verbose=False, device="cpu")
    attack.seed = job["seed"]
    began = time.time()
    adversarial = attack.run_standard_evaluation(x, labels, bs=250)
    seconds = time.time() - began
    result = dict(passes, seconds=seconds, torch=torch.__version__)
    with torch.no_grad():
        result["clean"] = (model(x).argmax(1) == labels).int().tolist()
        result["robust"] = (model(adversarial).argmax(1) == labels).int().tolist()
    print(json.dumps(result))


main()
