#!/usr/bin/env python3
"""Writes small baseline JPEGs of every kind, and what Pillow makes of them: the table in `data/decode/baseline_jpeg/tests.rs`.

    python tests/pillow_jpegs.py tests/data/images/baseline
"""
import io
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

# Name, height, width, mode or Pillow's subsampling, quality, and what else the encoder is told.
FILES = [
    ("gray", 17, 33, "L", 90, {}),
    ("444", 33, 17, 0, 90, {}),
    ("422", 17, 33, 1, 90, {}),
    ("420", 33, 17, 2, 90, {}),
    ("440", 32, 32, 1, 75, {}),
    ("411", 32, 32, 2, 75, {}),
    ("even", 64, 48, 2, 95, {"optimize": True}),
    ("coarse", 50, 70, 2, 5, {}),
    ("restarts", 40, 59, 2, 80, {"restart_marker_blocks": 3}),
    ("restarts-422", 23, 70, 1, 80, {"restart_marker_blocks": 1}),
    ("one", 1, 1, 2, 90, {}),
    ("narrow", 40, 4, 2, 90, {}),
    ("flat", 3, 50, 2, 90, {}),
    ("tiny", 6, 6, 1, 90, {}),
]
# Samplings that Pillow does not write: those of a file with MCUs of as many blocks, differently arranged.
ARRANGED = {"440": (0x21, 0x12), "411": (0x22, 0x41)}


def picture(rng, height, width):
    """Waves, edges and noise."""
    y, x = np.mgrid[:height, :width]
    waves = [128 + 90 * np.sin(x * a / 9 + y * b / 7) for a, b in ((1, 2), (3, 1), (2, 5))]
    edges = ((x // 5 + y // 3) % 2 * 80 - 40)[..., None]
    noise = 20 * rng.normal(size=(height, width, 3))
    return Image.fromarray((np.stack(waves, -1) + edges + noise).clip(0, 255).astype(np.uint8))


def main(folder):
    rng = np.random.default_rng(1)
    for name, height, width, kind, quality, options in FILES:
        image, out = picture(rng, height, width), io.BytesIO()
        if kind == "L":
            image.convert("L").save(out, "JPEG", quality=quality, **options)
        else:
            image.save(out, "JPEG", quality=quality, subsampling=kind, **options)
        file = bytearray(out.getvalue())
        if name in ARRANGED:
            before, after = ARRANGED[name]
            place = file.index(b"\xff\xc0") + 11
            assert file[place] == before
            file[place] = after
        (Path(folder) / f"{name}.jpg").write_bytes(file)
        pixels = np.asarray(Image.open(io.BytesIO(file)))
        print(f'    ("{name}", [{height}, {width}], 0x{zlib.crc32(pixels.tobytes()):08x}),')


if __name__ == "__main__":
    main(sys.argv[1])
