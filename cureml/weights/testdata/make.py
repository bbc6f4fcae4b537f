"""Writes the weight files of this folder with PyTorch and the official safetensors library.

    python make.py        # writes into the folder of this script

expected.json lists what a reader must find: per file and tensor the dtype, the shape and the values.
"""

import collections
import json
import os
import pickle

import numpy
import safetensors
import safetensors.torch
import torch
from torch import nn

os.chdir(os.path.dirname(os.path.abspath(__file__)))
torch.manual_seed(0)

NAMES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}
expected = {}


def number(v):
    return str(v) if isinstance(v, float) and not numpy.isfinite(v) else (int(v) if isinstance(v, bool) else v)


def expect(file, tensors):
    expected[file] = [{"name": n, "dtype": NAMES[t.dtype], "shape": list(t.shape),
                       "values": [number(v) for v in t.detach().flatten().tolist()]} for n, t in tensors.items()]


def flat(obj, parent=""):
    out = {}
    for k, v in obj.items():
        if torch.is_tensor(v):
            out[f"{parent}{k}"] = v
        elif isinstance(v, dict):
            out.update(flat(v, f"{parent}{k}."))
    return out


def save(file, obj, **kw):
    torch.save(obj, file, **kw)
    expect(file, flat(obj))


net = nn.Sequential(collections.OrderedDict(conv1=nn.Conv2d(3, 2, 3, bias=False), bn1=nn.BatchNorm2d(2),
                                            linear=nn.Linear(2, 4)))
net.train()
net.bn1(net.conv1(torch.randn(4, 3, 5, 5)))  # moves the running statistics
state = net.state_dict()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
net.linear(torch.randn(3, 2)).sum().backward()
optimizer.step()

save("zip.pt", state)
save("legacy.pt", state, _use_new_zipfile_serialization=False)
for protocol in (3, 4, 5):
    save(f"zip_protocol{protocol}.pt", state, pickle_protocol=protocol)
save("legacy_protocol4.pt", state, pickle_protocol=4, _use_new_zipfile_serialization=False)
save("state_dict.pt", {"epoch": 3, "best_acc": numpy.float64(51.5), "lr": 0.1, "arch": "resnet18", "sizes": torch.Size([2, 3]),
                       "state_dict": state, "optimizer": optimizer.state_dict()})
save("model.pt", {"model": state})
save("net_legacy.pt", {"net": {"module." + k: v for k, v in state.items()}, "acc": numpy.float32(93.25), "epoch": 10},
     _use_new_zipfile_serialization=False)
save("nested.pt", {"model": {"state_dict": {"module.model." + k: v for k, v in state.items()}}, "ema_decay": None})
save("module.pt", collections.OrderedDict(("module." + k, v) for k, v in state.items()))
save("wrapped_model.pt", collections.OrderedDict([("mean", torch.tensor([0.5])), *(("model." + k, v) for k, v in state.items())]))
save("parameter.pt", collections.OrderedDict(net.named_parameters()))
save("parameter_legacy.pt", collections.OrderedDict(net.named_parameters()), _use_new_zipfile_serialization=False)

values = torch.tensor([0.0, -0.0, 1.5, -2.25, 6e-8, 6.1e-5, 65504.0, float("inf"), float("-inf")], dtype=torch.float64)
types = collections.OrderedDict((f"t.{NAMES[dt]}", values.to(dt)) for dt in (torch.float64, torch.float32, torch.float16, torch.bfloat16))
types.update((f"t.{NAMES[dt]}", torch.tensor([0, 1, 100, -7], dtype=dt)) for dt in (torch.int64, torch.int32, torch.int16, torch.int8))
types["t.U8"] = torch.tensor([0, 1, 255], dtype=torch.uint8)
types["t.BOOL"] = torch.tensor([True, False, True])
types["scalar"] = torch.tensor(3.5)
types["empty"] = torch.zeros(0, 3)
save("types.pt", types)
save("types_legacy.pt", types, _use_new_zipfile_serialization=False)

base = torch.arange(60, dtype=torch.float32)
cube = base.view(3, 4, 5)
views = collections.OrderedDict(
    whole=cube, transposed=cube.transpose(0, 2), row=cube[1], column=cube[:, :, 2], stepped=cube[::2, 1::2, ::3],
    tail=base[50:], nhwc=torch.arange(48.0).view(2, 4, 3, 2).permute(0, 3, 1, 2), expanded=torch.tensor([7.0]).expand(2, 3),
    one=cube[2:3, :, 4:5])
save("views.pt", views)
save("views_legacy.pt", views, _use_new_zipfile_serialization=False)

safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, "official.safetensors", metadata={"format": "pt"})
expect("official.safetensors", state)
safetensors.torch.save_file({k: v.contiguous() for k, v in types.items()}, "official_types.safetensors")
expect("official_types.safetensors", types)


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must not run > pwned",)


class EvilEval:
    def __reduce__(self):
        return eval, ("1 + 1",)


torch.save({"state_dict": {"w": torch.ones(2)}, "extra": Evil()}, "evil.pt")
torch.save({"state_dict": {"w": torch.ones(2)}, "extra": Evil()}, "evil_legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"w": torch.ones(2), "extra": EvilEval()}, "evil_protocol4.pt", pickle_protocol=4)
torch.save(net, "whole_module.pt")
torch.save(torch.ones(3), "single_tensor.pt")
torch.save({"epoch": 3}, "no_tensors.pt")
torch.jit.save(torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)), "torchscript.pt")
with open("plain.pkl", "wb") as f:
    pickle.dump({"w": numpy.ones(2)}, f, protocol=2)

with open("expected.json", "w") as f:
    json.dump({"torch": torch.__version__, "safetensors": safetensors.__version__, "numpy": numpy.__version__, "files": expected}, f,
              separators=(",", ":"))
    f.write("\n")
