"""A peer of `cure bench` in PyTorch: the same work, written as its users write it (eager, channels last).

Reads a job from standard input, a line of JSON, then takes a turn for every further line and answers each on file
descriptor 3. Peer "compiled" runs the networks through torch.compile; peer "official" makes the natural logits of the
attack anew in every step of it, as the released training codes of TRADES and CURE do, and CURE's percentiles by NumPy.
On a GPU convolutions compute in bfloat16 by autocast.
"""

import contextlib
import copy
import json
import os
import random
import resource
import sys
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EPS, STEP, STEPS = 0.031, 0.007, 10
torch.backends.cudnn.benchmark = True  # shapes stay the same, so cuDNN may try its algorithms; nothing on a CPU


def conv(i, o, k, stride=1):
    return nn.Conv2d(i, o, k, stride, k // 2, bias=False)


class Basic(nn.Module):
    """Block of a ResNet-18."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.shortcut = nn.Sequential()
        if stride != 1 or i != o:
            self.shortcut = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class Wide(nn.Module):
    """Block of a wide ResNet: norm and relu come before the convolutions."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o, 3)
        self.shortcut = None if i == o else conv(i, o, 1, stride)

    def forward(self, x):
        y = F.relu(self.bn1(x))
        short = x if self.shortcut is None else self.shortcut(y)
        return short + self.conv2(F.relu(self.bn2(self.conv1(y))))


def network(arch, width):
    if arch == "resnet18":
        layers, channels = [conv(3, width, 3), nn.BatchNorm2d(width), nn.ReLU()], width
        for stage in range(4):
            for block in range(2):
                layers.append(Basic(channels, width << stage, 2 if stage and not block else 1))
                channels = width << stage
    else:
        _, depth, widen = arch.split("-")
        layers, channels = [conv(3, width, 3)], width
        for stage in range(3):
            for block in range((int(depth) - 4) // 6):
                layers.append(Wide(channels, width * int(widen) << stage, 2 if stage and not block else 1))
                channels = width * int(widen) << stage
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*layers).to(DEVICE, memory_format=torch.channels_last)


def kl(p, q):
    """KL(softmax p || softmax q), the mean over images."""
    return F.kl_div(F.log_softmax(q, 1), F.softmax(p, 1), reduction="batchmean")


class Convolution:
    """One pass over a convolution: its values, or its gradient by images or by kernel alone."""

    def __init__(self, job):
        s = job["Shape"]
        channels_last = {"memory_format": torch.channels_last}
        self.x = torch.randn(job["Batch"], s["In"], s["Side"], s["Side"], device=DEVICE).to(**channels_last)
        self.w = torch.randn(s["Out"], s["In"], s["Kernel"], s["Kernel"], device=DEVICE).to(**channels_last)
        self.stride, self.pad = [s["Stride"]] * 2, [s["Kernel"] // 2] * 2
        self.dy = torch.randn_like(F.conv2d(self.x, self.w, None, self.stride, self.pad))
        self.wanted = {"conv-dx": [True, False, False], "conv-dw": [False, True, False]}.get(job["Name"])

    def turn(self):
        if self.wanted is None:
            F.conv2d(self.x, self.w, None, self.stride, self.pad)
        else:
            torch.ops.aten.convolution_backward(
                self.dy, self.x, self.w, None, self.stride, self.pad, [1, 1], False, [0, 0], 1, self.wanted)
        if DEVICE == "cuda":
            torch.cuda.synchronize()


class Peer:
    def __init__(self, job):
        self.job, self.official = job, job["Peer"] == "official"
        self.batch, self.steps = job["Batch"], job["Attack"] or STEPS
        net = network(job["Arch"], job["Width"])
        self.params = list(net.parameters())
        self.masked = [p for n, p in net.named_parameters() if p.dim() != 2 and n != f"{len(net) - 1}.bias"]
        self.sgd = torch.optim.SGD(self.params, 1e-3, 0.9, weight_decay=5e-4)
        self.revision = copy.deepcopy(net) if job["Name"].startswith("cure") else None
        self.module = net
        self.net = torch.compile(net) if job["Peer"] == "compiled" else net
        if self.revision is not None and job["Peer"] == "compiled":
            self.revision = torch.compile(self.revision)
        self.x = torch.rand(self.batch, 3, 32, 32, device=DEVICE).contiguous(memory_format=torch.channels_last)
        self.y = torch.arange(self.batch, device=DEVICE) % 10

    @contextlib.contextmanager
    def frozen(self):
        """Mode E for an attack, without gradients of weights: torch.compile's backward pass would have them. Released codes
        leave that to autograd, and so does "official"."""
        params = [] if self.official else self.params
        self.net.eval()
        for p in params:
            p.requires_grad_(False)
        yield
        for p in params:
            p.requires_grad_()
        self.net.train()

    def attack(self):
        with self.frozen():
            return self.climb()

    def climb(self):
        """PGD on the KL divergence in mode E, gradients of the image alone."""
        x = self.x
        with torch.no_grad():
            natural = self.net(x)
        adv = x + 0.001 * torch.randn_like(x)
        for _ in range(self.steps):
            adv.requires_grad_()
            loss = kl(self.net(x) if self.official else natural, self.net(adv))
            grad, = torch.autograd.grad(loss, adv)
            adv = torch.min(torch.max(adv.detach() + STEP * grad.sign(), x - EPS), x + EPS).clamp(0, 1)
        return adv

    def natural_step(self):
        self.net.train()
        self.descend(F.cross_entropy(self.net(self.x), self.y))

    def trades_step(self):
        adv = self.attack()
        natural = self.net(self.x)
        self.descend(F.cross_entropy(natural, self.y) + 6 * kl(natural, self.net(adv)))

    def descend(self, loss):
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()

    def forwards(self):
        adv = self.attack()
        natural, robust = self.net(self.x), self.net(adv)
        with torch.no_grad():
            self.revision.train()
            targets = self.revision(self.x), self.revision(adv)
        consistency = kl(targets[0], natural) + kl(targets[1], robust)
        return natural, robust, F.cross_entropy(natural, self.y), F.cross_entropy(robust, self.y), consistency

    def cure_step(self):
        """The method of the paper: prominence from two gradients, conserved entries keep their bits."""
        natural, robust, ce, ce_adv, consistency = self.forwards()
        scores = [a.abs().mul_(0.1).add_(b.abs_(), alpha=0.9) for a, b in zip(
            torch.autograd.grad(ce, self.masked, retain_graph=True), torch.autograd.grad(ce_adv, self.masked, retain_graph=True))]
        kept = [s < s.flatten().kthvalue(1 + int(0.3 * (s.numel() - 1))).values for s in scores]
        old = [p.detach().clone() for p in self.masked]
        self.descend(ce + kl(natural, robust) + consistency)
        with torch.no_grad():
            for p, o, k in zip(self.masked, old, kept):
                torch.where(k, o, p, out=p)
        self.follow()

    def cure_released_step(self):
        """Mode rgp of the released code: one gradient, small entries of which are zero."""
        _, _, ce, ce_adv, consistency = self.forwards()
        self.sgd.zero_grad()
        (0.1 * ce + 0.9 * ce_adv + consistency).backward()
        for p in self.masked:
            size = p.grad.abs()
            if self.official:
                least = np.percentile(size.cpu().numpy(), 30)
            else:
                least = size.flatten().kthvalue(1 + int(0.3 * (size.numel() - 1))).values
            p.grad[size < least] = 0
        self.sgd.step()
        self.follow()

    def follow(self):
        if random.random() < 0.2:
            with torch.no_grad():
                for r, p in zip(self.revision.parameters(), self.module.parameters()):
                    r.mul_(0.999).add_(p, alpha=0.001)

    def forward(self):
        self.net.eval()
        with torch.no_grad():
            self.net(self.x)

    def attack_loop(self):
        self.attack()

    def pgd20(self):
        """An evaluation: clean predictions, 20 steps of 0.003, predictions."""
        with self.frozen():
            x = self.x
            with torch.no_grad():
                labels = self.net(x).argmax(1)
            adv = x + torch.empty_like(x).uniform_(-EPS, EPS)
            for _ in range(self.job["Attack"] or 20):
                adv.requires_grad_()
                grad, = torch.autograd.grad(F.cross_entropy(self.net(adv), labels, reduction="sum"), adv)
                adv = torch.min(torch.max(adv.detach() + 0.003 * grad.sign(), x - EPS), x + EPS).clamp(0, 1)
            with torch.no_grad():
                return (self.net(adv).argmax(1) == labels).sum().item()

    def turn(self):
        with torch.autocast("cuda", torch.bfloat16, enabled=DEVICE == "cuda"):
            getattr(self, self.job["Name"].replace("-", "_"))()
        if DEVICE == "cuda":
            torch.cuda.synchronize()


def main():
    replies = os.fdopen(3, "w", buffering=1)

    def say(**answer):
        replies.write(json.dumps(answer) + "\n")

    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(os.cpu_count())
    about = f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"
    say(Backend=about if DEVICE == "cpu" else f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    peer = None
    for _ in sys.stdin:
        clock = time.perf_counter()
        try:
            peer = peer or (Convolution if job["Name"].startswith("conv-") else Peer)(job)
            peer.turn()
        except Exception as e:  # the other side tells it
            say(Error=f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
            return
        memory = 0 if DEVICE == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(Seconds=time.perf_counter() - clock, Images=job["Batch"], Peak=memory)


main()
