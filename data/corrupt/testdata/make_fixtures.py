"""Cuts and makes the reference values of package corrupt; see README.md.

python make_fixtures.py FIXTURES make_cifar_c.py test_batch.bin

FIXTURES is a folder with corruptions.safetensors and corruptions.json: outputs of make_cifar_c.py on records 0 to 63.
"""
import gzip, json, os, sys

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

fixtures, script, batch = sys.argv[1:]
here = os.path.dirname(os.path.abspath(__file__))
record = np.fromfile(batch, np.uint8, 3073)[1:].reshape(3, 32, 32).transpose(1, 2, 0)


def write(name, images):
    """images: {corruption: uint8 [5, 32, 32, 3]}, in the order of names, as differences and in planes: small when packed."""
    out = b""
    for key in sorted(images):
        v = images[key]
        difference = v - np.concatenate([record[None], v[:-1]])  # modulo 256
        out += difference.astype(np.uint8).transpose(0, 3, 1, 2).tobytes()
    with open(os.path.join(here, name), "wb") as f:
        f.write(gzip.compress(out, 9, mtime=0))


write("deterministic.bin.gz", {k: v[:, 0] for k, v in load_file(os.path.join(fixtures, "corruptions.safetensors")).items()})

with open(os.path.join(fixtures, "corruptions.json")) as f:
    random = json.load(f)["random"]
with open(os.path.join(here, "psnr.json"), "w") as f:
    lines = ['  "%s": [%s]' % (k, ", ".join("%.3f" % s["psnr_mean"] for s in random[k])) for k in sorted(random)]
    f.write("{\n" + ",\n".join(lines) + "\n}\n")

# The script's functions with today's names of the libraries, and with random numbers that Go repeats.
source = open(script).read()
source = source[: source.index("import collections")]
for old, new in [
    ("import torch\n", ""), ("import torchvision.datasets as dset\n", ""), ("import torchvision.transforms as trn\n", ""),
    ("import torch.utils.data as data\n", ""), ("scipy.ndimage.interpolation", "scipy.ndimage"),
    ("multichannel=True", "channel_axis=-1"), ("np.float_", "np.float64"), ("np.fromstring", "np.frombuffer"),
]:
    source = source.replace(old, new)
functions = {}
exec(source, functions)


class Replay:
    """The generator that replay_test.go has, too: Knuth's MMIX congruence."""

    def __init__(self):
        self.state = 1

    def one(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2**53

    def uniform(self, low, high, size=None):
        if size is None:
            return low + (high - low) * self.one()
        n = int(np.prod(size))
        return np.array([low + (high - low) * self.one() for _ in range(n)]).reshape(size)

    def normal(self, loc, scale, size):
        n = int(np.prod(size))
        return np.array([loc + scale * (sum(self.one() for _ in range(12)) - 6) for _ in range(n)]).reshape(size)

    def randint(self, low, high, size):
        return np.array([low + int((high - low) * self.one()) for _ in range(int(np.prod(size)))])


replayed = {}
for name in ["glass_blur", "motion_blur", "snow", "fog", "elastic_transform", "spatter"]:
    severities = []
    for severity in range(1, 6):
        replay = Replay()
        np.random.uniform, np.random.normal, np.random.randint = replay.uniform, replay.normal, replay.randint
        severities.append(np.uint8(functions[name](Image.fromarray(record), severity)))
    replayed[name] = np.array(severities)
write("replay.bin.gz", replayed)
