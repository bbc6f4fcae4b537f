"""Writes the fixtures of package data. See README.md for versions.

usage: python make_fixtures.py cifar10-jpeg.tar.gz
"""
import gzip, io, sys, tarfile
import numpy as np
import scipy.io
from PIL import Image

# SVHN-shaped files: X[row, column, channel, image] = (7 row + 13 column + 29 channel + 41 image) mod 251.
r, c, k, n = np.indices((32, 32, 3, 3))
x = ((7 * r + 13 * c + 29 * k + 41 * n) % 251).astype(np.uint8)
y = np.array([[1], [10], [5]])
scipy.io.savemat("compressed.mat", {"X": x, "y": y.astype(np.uint8)}, do_compression=True)
scipy.io.savemat("plain.mat", {"note": "to be skipped", "y": y.astype(np.float64), "X": x}, do_compression=False)

# Files of generated images: image[n, row, column, channel] as above, in the forms that NumPy writes.
generated = np.ascontiguousarray(x.transpose(3, 0, 1, 2))
np.savez("stored.npz", image=generated, label=np.array([3, 0, 9]))
np.savez_compressed("deflated.npz", note=np.array("to be skipped"), label=np.array([99, 7, 0], np.uint8), image=generated)

# Two test images of each class, and what Pillow makes of them.
pixels = []
with tarfile.open(sys.argv[1]) as src, gzip.GzipFile("pillow.tar.gz", "wb", mtime=0) as z, tarfile.open(fileobj=z, mode="w") as dst:
    for m in src:
        parts = m.name.split("/")
        if m.isfile() and parts[0] == "test" and int(parts[2][:4]) < 2:
            b = src.extractfile(m).read()
            dst.addfile(m, io.BytesIO(b))
            pixels.append((parts[2], parts[1], np.asarray(Image.open(io.BytesIO(b)).convert("RGB"))))
pixels.sort(key=lambda p: p[:2])
with gzip.GzipFile("pillow.rgb.gz", "wb", mtime=0) as z:
    z.write(b"".join(p[2].tobytes() for p in pixels))
