"""Cuts the reference values of PyTorch down to what the tests of this repository read.

    python reduce.py FOLDER    # the folder with the complete fixtures; writes beside this script

Values are copied bit for bit; only images are left out.
"""

import gzip
import json
import os
import shutil
import sys

import numpy
from safetensors.numpy import load_file, save_file

source, here = sys.argv[1], os.path.dirname(os.path.abspath(__file__))


def load(name):
    return load_file(os.path.join(source, name))


def save(name, tensors):
    save_file({k: numpy.ascontiguousarray(v) for k, v in tensors.items()}, os.path.join(here, name))


shutil.copyfile(os.path.join(source, "model_O.safetensors"), os.path.join(here, "model_O.safetensors"))

forward = load("forward.safetensors")
kept = {}
for k, v in forward.items():
    if k.startswith("pooled_"):
        kept[k + "_first64"] = v[:64]
    elif k.startswith("full_"):
        kept[k.replace("_first4", "_first1")] = v[:1]
    elif not k.endswith("_f64"):
        kept[k] = v
save("forward.safetensors", kept)

gradients = load("gradients.safetensors")
save("gradients.safetensors", {k.replace("_first8", "_first4"): v[:4] if k.startswith("dx_") else v for k, v in gradients.items()})

pgd = load("pgd.safetensors")
save("pgd.safetensors", {"noise_linf_first16": pgd["noise_linf"][:16], "linf_x1_sign_first16": pgd["linf_x1_sign"][:16],
                         "linf_x1_first4": pgd["linf_x1"][:4]})

with open(os.path.join(here, "x_adv_pgd.f32.gz"), "wb") as f:
    f.write(gzip.compress(load("losses.safetensors")["x_adv_pgd"].tobytes(), 9, mtime=0))

for name in ("forward", "gradients", "losses", "pgd"):
    with open(os.path.join(source, name + ".json")) as f:
        values = json.load(f)
    with open(os.path.join(here, name + ".json"), "w") as f:
        json.dump(values, f, separators=(",", ":"))
        f.write("\n")

with open(os.path.join(source, "autoattack.json")) as f:
    verdicts = json.load(f)
cut = {}
for norm, values in verdicts.items():
    cut[norm] = {"clean": {"correct_flags": values["clean"]["correct_flags"][:64]},
                 "apgd_ce_alone_all_images": {k: values["apgd_ce_alone_all_images"][k][:64] for k in ("loss", "robust_flags")},
                 "sequence": {k: {"robust_flags": v["robust_flags"][:64]} for k, v in values["sequence"].items()
                              if isinstance(v, dict) and "robust_flags" in v}}
with open(os.path.join(here, "autoattack.json"), "w") as f:
    json.dump(cut, f, separators=(",", ":"))
    f.write("\n")
