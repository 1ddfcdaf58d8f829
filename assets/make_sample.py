"""Makes sample-train.png and sample-test.png, the data set inside the binary, from Fashion-MNIST's four files.

    python3 assets/make_sample.py /usr/share/datasets/fashion-mnist

(that folder is Debian's package `dataset-fashion-mnist`; needs nothing but Python 3). Of each class the first 600
training and the first 100 test images are taken, in file order. A sheet is a gray picture of 28x28 tiles, a hundred
tiles wide (train) or fifty (test); class 0 fills the first 600 (100) tiles in reading order, class 1 the next, so the
position says the label. Adaptive PNG filters by the least sum of absolute differences, deflate level 9.
"""
import gzip
import pathlib
import struct
import sys
import zlib

SIDE = 28


def idx(path):
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    return data[4 + 4 * dimensions:]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def filtered(row, above):
    """The row under the filter (none, sub, up, average, Paeth) that leaves the smallest numbers."""
    left, corner = b"\0" + row[:-1], b"\0" + above[:-1]

    def paeth(a, b, c):
        pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        return a if pa <= pb and pa <= pc else b if pb <= pc else c

    rows = [
        row,
        bytes((x - a) & 255 for x, a in zip(row, left)),
        bytes((x - b) & 255 for x, b in zip(row, above)),
        bytes((x - (a + b) // 2) & 255 for x, a, b in zip(row, left, above)),
        bytes((x - paeth(a, b, c)) & 255 for x, a, b, c in zip(row, left, above, corner)),
    ]
    costs = [sum(min(x, 256 - x) for x in r) for r in rows]
    best = costs.index(min(costs))
    return bytes([best]) + rows[best]


def png(rows):
    above, body = bytes(len(rows[0])), []
    for row in rows:
        body.append(filtered(row, above))
        above = row
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    data = zlib.compress(b"".join(body), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def sheet(images, labels, per_class, across):
    tiles = []
    for c in range(10):
        chosen = [i for i, y in enumerate(labels) if y == c][:per_class]
        tiles += [images[i * SIDE * SIDE:(i + 1) * SIDE * SIDE] for i in chosen]
    rows = []
    for top in range(0, len(tiles), across):
        for y in range(SIDE):
            rows.append(b"".join(t[y * SIDE:(y + 1) * SIDE] for t in tiles[top:top + across]))
    return png(rows)


def main(source):
    source, here = pathlib.Path(source), pathlib.Path(__file__).parent
    for name, prefix, per_class, across in (("train", "train", 600, 100), ("test", "t10k", 100, 50)):
        images = idx(source / f"{prefix}-images-idx3-ubyte.gz")
        labels = idx(source / f"{prefix}-labels-idx1-ubyte.gz")
        (here / f"sample-{name}.png").write_bytes(sheet(images, labels, per_class, across))


main(sys.argv[1])
