#!/usr/bin/env python3
"""Holds what a network sees of a picture against torchvision: the top-5 probabilities of `kindling predict` and of PyTorch,
a ResNet-18 with random weights, on pictures of all sizes. Needs torch and torchvision.

    python tests/torch_pixels.py target/release/kindling PICTURE...
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torchvision import transforms

LIMIT = 1e-4


def network():
    torch.manual_seed(3)
    model = torchvision.models.resnet18(num_classes=1000).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.5)
        # So that the probabilities differ by more than a hair.
        model.fc.weight.mul_(3)
    return model


def main(binary, pictures):
    model = network()
    prepare = transforms.Compose([
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "resnet18.pth"
        torch.save(model.state_dict(), weights)
        command = [binary, "predict", weights, *pictures, "--device", "cpu", "--json", "--top", "5"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(pictures), f"{len(lines)} answers for {len(pictures)} pictures"
    worst = 0.0
    for line, picture in zip(lines, pictures):
        with torch.no_grad():
            expected = torch.softmax(model(prepare(Image.open(picture).convert("RGB"))[None]), 1)[0]
        difference = max(abs(expected[top["index"]].item() - top["p"]) for top in json.loads(line)["top"])
        if difference > LIMIT:
            print(f"{picture}: {difference}")
        worst = max(worst, difference)
    print(f"{len(pictures)} pictures, largest difference of a top-5 probability {worst:.1e}")
    return worst > LIMIT


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
