#!/usr/bin/env python3
"""Photographs into batches, beside torchvision: the figures in the README.

    python benches/load.py make FOLDER [--count 2000] [--size 500x375] [--quality 90]
    python benches/load.py compare FOLDER [--kindling target/release/kindling] [--rounds 3] [--draft]

`make` writes JPEGs that look like photographs to a decoder, each with a content of its own, in ten classes. `compare` times
decoding, random resized crop to 224, flip and normalisation: Kindling's first epoch (`bench load --from-files`), for which
no decoded photograph is kept or all are, and torchvision's `DataLoader` with two workers, in turn; with `--draft` Pillow
decodes no more than serves a working size of 320, as Kindling does. The table shows medians. Needs numpy and Pillow, and torchvision to compare.
"""
import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time

BATCH = 64
WORKERS = 2
# Different pictures; the files differ by a comment.
PICTURES = 50


def photograph(rng, width, height):
    """Slow changes, finer ones, and a sensor's noise."""
    import numpy as np
    from PIL import Image

    picture = np.full((height, width, 3), 128, np.float32)
    for across, strength in ((4, 70), (16, 45), (64, 28), (256, 14)):
        noise = rng.normal(size=(3, max(2, across * height // width), across)).astype(np.float32)
        scaled = [np.asarray(Image.fromarray(plane).resize((width, height), Image.BICUBIC)) for plane in noise]
        picture += strength * np.stack(scaled, -1)
    picture += 4 * rng.normal(size=(height, width, 1))
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def make(folder, count, size, quality):
    import numpy as np

    width, height = map(int, size.split("x"))
    rng, pictures = np.random.default_rng(1), []
    for _ in range(min(count, PICTURES if width < 2000 else 10)):
        out = io.BytesIO()
        photograph(rng, width, height).save(out, "JPEG", quality=quality)
        pictures.append(out.getvalue())
    for i in range(count):
        name = os.path.join(folder, f"class{i % 10}", f"{i:06}.jpg")
        os.makedirs(os.path.dirname(name), exist_ok=True)
        picture = pictures[i * 7 % len(pictures)]
        with open(name, "wb") as file:
            # A comment of twelve digits.
            file.write(picture[:2] + b"\xff\xfe\x00\x0e" + b"%012d" % i + picture[2:])


def kindling(binary, folder):
    recipe = ["--preset", "photos-finetune", "--set", f"batch_size={BATCH}"]
    command = [binary, "bench", "load", "--json", "--from-files", "--data", folder, *recipe]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [found[of] for of in ("streamed_images_per_s", "from_files_images_per_s", "images_per_s")]


def torchvision(folder, draft):
    """In a process of its own, as Kindling is."""
    command = [sys.executable, __file__, "peer", folder, *(["--draft"] if draft else [])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer(folder, draft):
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    def load(path):
        image = Image.open(path)
        if draft:
            image.draft("RGB", (320, 320))
        return image.convert("RGB")

    table = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    steps = [transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(), table]
    images = datasets.ImageFolder(folder, transforms.Compose(steps), loader=load)
    began, seen = time.perf_counter(), 0
    for batch, _ in DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS):
        seen += len(batch)
    return seen / (time.perf_counter() - began)


def compare(folder, binary, rounds, draft):
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(kindling(binary, folder))
        theirs.append(torchvision(folder, draft))
    theirs = statistics.median(theirs)
    print(f"torchvision: {theirs:.0f} images/s")
    for what, paces in zip(("from files", "from files, and kept", "once they are kept"), zip(*ours)):
        pace = statistics.median(paces)
        print(f"Kindling, {what}: {pace:.0f} images/s, {pace / theirs:.2f} times")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["make", "compare", "peer"])
    parser.add_argument("folder")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", default="500x375")
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--kindling", default="target/release/kindling")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draft", action="store_true")
    args = parser.parse_args()
    if args.what == "make":
        make(args.folder, args.count, args.size, args.quality)
    elif args.what == "compare":
        compare(args.folder, args.kindling, args.rounds, args.draft)
    else:
        print(peer(args.folder, args.draft))


if __name__ == "__main__":
    main()
