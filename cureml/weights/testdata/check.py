"""Reads a safetensors file with the official library and compares it with a reference file.

    python check.py WRITTEN.safetensors REFERENCE   (REFERENCE: safetensors, or a .pt that holds a state dict)

Every name, dtype, shape and bit must agree, and load_state_dict(strict=True) must accept the tensors.
"""

import sys

import safetensors.torch
import torch
from torch import nn

got = safetensors.torch.load_file(sys.argv[1])
want = safetensors.torch.load_file(sys.argv[2]) if sys.argv[2].endswith(".safetensors") else torch.load(sys.argv[2], weights_only=True)
assert set(got) == set(want), set(got) ^ set(want)
for name, t in want.items():
    g = got[name]
    assert g.dtype == t.dtype and g.shape == t.shape, (name, g.dtype, g.shape)
    assert g.contiguous().view(-1).view(torch.uint8).equal(t.contiguous().view(-1).view(torch.uint8)), name


def holder(names):
    """A module tree whose state dict has exactly these names."""
    root = nn.Module()
    for name, t in names.items():
        module, parts = root, name.split(".")
        for p in parts[:-1]:
            if p not in module._modules:
                module.add_module(p, nn.Module())
            module = module._modules[p]
        module.register_buffer(parts[-1], torch.zeros_like(t))
    return root


module = holder(want)
print(module.load_state_dict(got, strict=True), len(got), "tensors")
