#!/usr/bin/env python3
"""Weights there and back: PyTorch -> Kindling -> PyTorch and onnxruntime.

    python tests/torch_roundtrip.py [target/release/kindling]

Saves a torchvision ResNet-18 (and, with `--all`, a ResNet-50) in the formats of `torch.save`, imports each with
`kindling import`, loads the safetensors with `load_state_dict(strict=True)` and compares every value; then exports to
ONNX and compares the logits of onnxruntime with PyTorch's within 1e-4. Without torch, torchvision or safetensors it
says so and succeeds; without onnxruntime it leaves out that part.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    import torchvision
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(0)
try:
    import onnxruntime
except ImportError:
    onnxruntime = None


def save_all(state, folder):
    """The same state in every container that PyTorch writes."""
    channels_last = {k: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in state.items()}
    wrapped = {"epoch": 3, "model": {"module." + k: torch.nn.Parameter(v, False) for k, v in state.items()}}
    for name, content, options in (
        ("zip", state, {}),
        ("legacy", state, {"_use_new_zipfile_serialization": False}),
        ("protocol4", state, {"pickle_protocol": 4}),
        ("legacy4", state, {"pickle_protocol": 4, "_use_new_zipfile_serialization": False}),
        ("channels_last", channels_last, {}),
        ("parameters", wrapped, {}),
    ):
        path = folder / f"{name}.pth"
        torch.save(content, path, **options)
        yield path


def check_safetensors(state, model, path):
    """Bit-equal to `state`, and accepted by torchvision."""
    loaded = load_file(path)
    model.load_state_dict(loaded, strict=True)
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(loaded[name], tensor), f"{path}: {name} differs"


def check_onnx(model, path):
    """onnxruntime's logits are PyTorch's, with the preprocessing inside the graph or beside it."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["kindling"])["preprocessing"]
    pictures = np.random.default_rng(1).integers(0, 256, (2, card["height"], card["width"], 3), dtype=np.uint8)
    mean, std = (np.array(card["normalisation"][key], np.float32) for key in ("mean", "std"))
    images = ((pictures.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2).copy()
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(images)).numpy()
    (graph_input,) = session.get_inputs()
    (logits,) = session.run(None, {graph_input.name: pictures if graph_input.name == "image" else images})
    error = np.abs(logits - expected).max() / np.abs(expected).max()
    assert error < 1e-4, f"{path}: logits differ by {error}"
    return error


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("-")]
    kindling = arguments[0] if arguments else "target/release/kindling"
    for name in ("resnet18", "resnet50") if "--all" in sys.argv else ("resnet18",):
        torch.manual_seed(0)
        model = getattr(torchvision.models, name)(num_classes=10)
        with torch.no_grad():
            model.train()(torch.randn(4, 3, 64, 64))  # running statistics of their own
        state = model.state_dict()
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            for path in save_all(state, folder):
                out = path.with_suffix(".safetensors")
                subprocess.run([kindling, "import", path, "--out", out], check=True)
                check_safetensors(state, getattr(torchvision.models, name)(num_classes=10), out)
                print(f"{name}: {path.stem} comes back bit for bit")
            if onnxruntime is None:
                print("skipped the ONNX part: no onnxruntime")
                continue
            onnx = folder / "model.onnx"
            subprocess.run(
                [kindling, "export", folder / "zip.safetensors", "--format", "onnx", "--out", onnx], check=True
            )
            print(f"{name}: onnxruntime agrees within {check_onnx(model, onnx):.1e}")


main()
