"""Logits of the second network, the teacher of the losses in losses.json, which is too large for the repository.

    python teacher.py FOLDER TEST_BATCH    # the complete fixtures, CIFAR-10's test_batch.bin; writes teacher.json here

Eval mode, float64, records 0 to 63 and their PGD-10 images. The losses of ARD, IAD and ACT made of them are compared with
losses.json before anything is written.
"""

import json
import os
import sys

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

source, batch, here = sys.argv[1], sys.argv[2], os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(1)


def network(name):
    weights = {k: v.double() for k, v in load_file(os.path.join(source, name)).items()}

    def norm(x, layer):
        at = lambda what: weights[layer + "." + what]
        return F.batch_norm(x, at("running_mean"), at("running_var"), at("weight"), at("bias"), False, 0, 1e-5)

    def forward(x):
        x = F.relu(norm(F.conv2d(x, weights["conv1.weight"], padding=1), "bn1"))
        for stage in range(1, 5):
            for block in range(2):
                name = f"layer{stage}.{block}."
                stride = 2 if stage > 1 and block == 0 else 1
                y = F.relu(norm(F.conv2d(x, weights[name + "conv1.weight"], stride=stride, padding=1), name + "bn1"))
                y = norm(F.conv2d(y, weights[name + "conv2.weight"], padding=1), name + "bn2")
                if name + "shortcut.0.weight" in weights:
                    x = norm(F.conv2d(x, weights[name + "shortcut.0.weight"], stride=stride), name + "shortcut.1")
                x = F.relu(y + x)
        return F.linear(x.mean((2, 3)), weights["linear.weight"], weights["linear.bias"])

    return forward


records = numpy.fromfile(batch, numpy.uint8)[: 64 * 3073].reshape(64, 3073)
y = torch.from_numpy(records[:, 0].astype(numpy.int64))
nat = torch.from_numpy((records[:, 1:].reshape(64, 3, 32, 32).astype(numpy.float32) / 255)).double()
adv = load_file(os.path.join(source, "losses.safetensors"))["x_adv_pgd"].double()
with open(os.path.join(source, "losses.json")) as f:
    want = json.load(f)["with_x_adv_pgd"]["values"]

teacher, student = network("second_O.safetensors"), network("model_O.safetensors")
t_nat, t_adv, s_nat, s_adv = teacher(nat), teacher(adv), student(nat), student(adv)


def kl(p, q):
    return F.kl_div(F.log_softmax(q, 1), F.softmax(p, 1), reduction="batchmean")


for name, got in {
    "ard_alpha1_temp30_batchmean_eval": 900 * kl(t_nat / 30, s_adv / 30),
    "act_robust_alpha0.9_temp1_eval": 0.1 * F.cross_entropy(s_adv, y) + 0.9 * kl(t_nat, s_adv),
    "act_natural_alpha0.9_temp1_eval": 0.1 * F.cross_entropy(t_nat, y) + 0.9 * kl(s_adv, t_nat),
}.items():
    print(name, got.item(), want[name])
    assert abs(got.item() - want[name]) < 1e-12
with open(os.path.join(here, "teacher.json"), "w") as f:
    json.dump({"nat": t_nat.tolist(), "adv": t_adv.tolist()}, f, separators=(",", ":"))
    f.write("\n")
