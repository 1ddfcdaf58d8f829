#!/usr/bin/env python3
"""Kindling beside its peers on this machine: the speeds in the README.

    python benches/compare.py pytorch  [--kindling target/release/kindling] [--rounds 5] [--precision bf16]
    python benches/compare.py openvino [--kindling target/release/kindling] [--rounds 5] [--precision bf16]
    python benches/compare.py onnxruntime [--kindling target/release/kindling] [--rounds 5]
    python benches/compare.py burn     [--kindling target/release/kindling] [--rounds 3] [--device gpu]

`pytorch` times training steps and inference on the CPU, Kindling's and PyTorch's (the faster of its two memory formats;
with `--precision bf16` under its autocast); `openvino` and `onnxruntime` inference, which they do on as many threads;
`burn` times training steps on a GPU by Kindling's kernels and by burn's own. The two sides take turns, each in a process
of its own, so that what else the machine does meets both; the table shows medians. Needs torch and torchvision, for
`openvino` that too, for `onnxruntime` that and onnx.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time

# Model, stem, images in a step, and their side.
TRAINED = [
    ("cifar_resnet20", "cifar", 128, 32),
    ("resnet18", "cifar", 32, 32),
    ("resnet18", "imagenet", 16, 224),
    ("resnet50", "imagenet", 8, 224),
    ("mobilenet_v2", "imagenet", 16, 224),
    ("efficientnet_lite0", "imagenet", 16, 224),
    ("resnext50_32x4d", "imagenet", 8, 224),
]
INFERRED = [
    ("cifar_resnet20", "cifar", 256, 32),
    ("resnet18", "cifar", 256, 32),
    ("resnet18", "imagenet", 32, 224),
    ("resnet50", "imagenet", 16, 224),
    ("mobilenet_v2", "imagenet", 32, 224),
    ("efficientnet_lite0", "imagenet", 32, 224),
    ("resnext50_32x4d", "imagenet", 16, 224),
]
ON_GPU = [("cifar_resnet20", "cifar", 32, 32), ("resnet18", "cifar", 8, 32), ("mobilenet_v2", "imagenet", 2, 224)]
# Blocks, kernel, stride, expansion and channels of the stages of inverted residuals.
INVERTED = {
    "mobilenet_v2": [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (3, 3, 2, 6, 32), (4, 3, 2, 6, 64),
        (3, 3, 1, 6, 96), (3, 3, 2, 6, 160), (1, 3, 1, 6, 320),
    ],
    "efficientnet_lite0": [
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
    ],
}
STEPS = 12
WARM_UP = 2


def kindling(binary, model, stem, batch, side, *options):
    command = [binary, "bench", "step", "--json", "--model", model, "--stem", stem, "--batch", str(batch)]
    command += ["--side", str(side), *options]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["images_per_s"]


def other(runner, model, stem, batch, side, infer, precision):
    """In a process of its own, as Kindling is."""
    pass_ = "infer" if infer else "train"
    command = [sys.executable, __file__, "peer", runner, model, stem, str(batch), str(side), pass_, precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def peer(runner, model, stem, batch, side, infer, precision):
    """Images a second of PyTorch: the median step, in the faster memory format; or of OpenVINO."""
    import contextlib

    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
            self.shortcut = nn.Sequential()
            if stride != 1 or i != o:
                self.shortcut = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

        def forward(self, x):
            y = F.relu(self.bn1(self.conv1(x)), inplace=True)
            return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)

    def conv(i, o, kernel=1, stride=1, groups=1, activation=True):
        layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o)]
        return layers + [nn.ReLU6(inplace=True)] * activation

    class Inverted(nn.Module):
        def __init__(self, i, o, kernel, stride, expansion):
            super().__init__()
            wide = i * expansion
            widen = conv(i, wide) if expansion > 1 else []
            filters = conv(wide, wide, kernel, stride, wide)
            self.layers = nn.Sequential(*widen, *filters, *conv(wide, o, activation=False))
            self.adds = stride == 1 and i == o

        def forward(self, x):
            return x + self.layers(x) if self.adds else self.layers(x)

    def inverted(stages):
        layers, i = conv(3, 32, 3, 2), 32
        for blocks, kernel, stride, expansion, o in stages:
            for block in range(blocks):
                layers.append(Inverted(i, o, kernel, 1 if block else stride, expansion))
                i = o
        return nn.Sequential(*layers, *conv(i, 1280), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10))

    def network():
        torch.manual_seed(0)
        if model in INVERTED:
            return inverted(INVERTED[model])
        if model.startswith("resnext") or (model.startswith("resnet") and stem == "imagenet"):
            import torchvision

            return getattr(torchvision.models, model)(num_classes=10)
        widths, blocks = ((16, 32, 64), 3) if model == "cifar_resnet20" else ((64, 128, 256, 512), 2)
        layers = [nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        i = widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(i, width, 2 if stage and not block else 1))
                i = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10))

    def timed_s(infer):
        """The median of calls with a batch."""
        times = []
        batch_of = torch.randn(batch, 3, side, side).numpy()
        for _ in range(WARM_UP + STEPS):
            start = time.perf_counter()
            infer(batch_of)
            times.append(time.perf_counter() - start)
        return statistics.median(times[WARM_UP:])

    def onnxruntime_s():
        import io

        import onnxruntime

        file = io.BytesIO()
        example = torch.randn(batch, 3, side, side)
        torch.onnx.export(network().eval(), (example,), file, input_names=["x"], dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
        return timed_s(lambda images: session.run(None, {"x": images}))

    def openvino_s():
        import openvino

        net = network().eval()
        hint = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        example = torch.randn(batch, 3, side, side)
        compiled = openvino.compile_model(openvino.convert_model(net, example_input=example), "CPU", hint)
        return timed_s(compiled)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()

    def step_s(memory_format):
        net = network().to(memory_format=memory_format)
        x = torch.randn(batch, 3, side, side).to(memory_format=memory_format)
        y = torch.arange(batch) % 10
        sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        net.train(not infer)
        times = []
        for _ in range(WARM_UP + STEPS):
            start = time.perf_counter()
            if infer:
                with torch.inference_mode(), autocast():
                    net(x)
            else:
                sgd.zero_grad()
                with autocast():
                    loss = F.cross_entropy(net(x), y)
                loss.backward()
                sgd.step()
                loss.item()
            times.append(time.perf_counter() - start)
        return statistics.median(times[WARM_UP:])

    if runner in ["openvino", "onnxruntime"]:
        print(batch / (openvino_s() if runner == "openvino" else onnxruntime_s()))
        return
    print(batch / min(step_s(torch.contiguous_format), step_s(torch.channels_last)))


def compare(title, names, rounds, sides):
    """A row of the table: `sides` are functions that measure images a second."""
    measured = [[] for _ in sides]
    for _ in range(rounds):
        for values, side in zip(measured, sides):
            values.append(side())
    first, second = [statistics.median(values) for values in measured]
    spread = "; ".join(f"{name} {min(v):,.1f} to {max(v):,.1f}" for name, v in zip(names, measured))
    print(f"| {title} | {first:,.1f} | {second:,.1f} | {first / second:.2f} | {spread} |", flush=True)


def main():
    if sys.argv[1:2] == ["peer"]:
        runner, model, stem, batch, side, what, precision = sys.argv[2:]
        peer(runner, model, stem, int(batch), int(side), what == "infer", precision)
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["pytorch", "openvino", "onnxruntime", "burn"])
    parser.add_argument("--kindling", default="target/release/kindling")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="models whose name contains this")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"], help="of `pytorch` and `openvino`")
    parser.add_argument("--device", default="gpu", help="of `burn`")
    options = parser.parse_args()
    if options.what == "onnxruntime" and options.precision != "f32":
        parser.error("ONNX Runtime computes in f32")
    peers = {"pytorch": "PyTorch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "burn": "burn"}
    names = ["Kindling", peers[options.what]]
    print(f"| images a second | {names[0]} | {names[1]} | ratio | range |\n| --- | --- | --- | --- | --- |")
    if options.what != "burn":
        for infer, cases in [(False, TRAINED if options.what == "pytorch" else []), (True, INFERRED)]:
            for case in [case for case in cases if options.only in case[0]]:
                own = ["--device", "cpu", "--steps", str(STEPS), "--precision", options.precision]
                own += ["--eval"] if infer else []
                theirs = lambda: other(options.what, *case, infer, options.precision)
                sides = [lambda: kindling(options.kindling, *case, *own), theirs]
                what = "inference" if infer else "a training step"
                what = f"{what}, {case[0]}, batch {case[2]}, {case[3]} pixels, {options.precision}"
                compare(what, names, options.rounds, sides)
    else:
        for case in [case for case in ON_GPU if options.only in case[0]]:
            own = ["--device", options.device]
            fast = lambda: kindling(options.kindling, *case, *own)
            reference = lambda: kindling(options.kindling, *case, *own, "--ops", "reference", "--steps", "3")
            what = f"a training step, {case[0]}, batch {case[2]}, {case[3]} pixels"
            compare(what, names, options.rounds, [fast, reference])


main()
