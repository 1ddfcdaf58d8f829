#!/usr/bin/env python3
"""The measurements of benches/gpu.sh, which builds and tests first: see there.

    python3 benches/gpu.py [--kindling target/release/kindling] [--device gpu] [--out gpu-report] [--tests LOG] [--quick]
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time

# Model, stem, side, and images in a step.
CASES = [
    ("cifar_resnet20", "cifar", 32, [32, 128, 512]),
    ("resnet18", "imagenet", 224, [16, 64, 128]),
    ("resnet50", "imagenet", 224, [16, 64]),
    ("mobilenet_v2", "imagenet", 224, [16, 64]),
    ("efficientnet_lite0", "imagenet", 224, [16, 64]),
]
KERNELS = ("resnet18", "imagenet", 224, 128)
QUICK_CASES = [("cifar_resnet20", "cifar", 32, [8]), ("resnet18", "imagenet", 64, [2])]
QUICK_KERNELS = ("cifar_resnet8", "cifar", 16, 4)
STEPS = 20
WARM_UP = 5


def lines(command):
    """The JSON objects that a command prints, and what went wrong, if anything."""
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        return [], (ran.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return [json.loads(line) for line in ran.stdout.splitlines()], None


def settings(model, stem, side, batch, precision):
    named = {"model": model, "stem": stem, "side": side, "batch": batch, "precision": precision}
    return [word for name, value in named.items() for word in (f"--{name}", str(value))]


def has_pytorch():
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


def pytorch_step(model, batch, side, precision):
    """Images a second that PyTorch trains on the GPU, channels last, in a process of its own."""
    command = [sys.executable, __file__, "peer", model, str(batch), str(side), precision]
    ran = subprocess.run(command, capture_output=True, text=True)
    return float(ran.stdout) if ran.returncode == 0 else None


def peer(model, batch, side, precision):
    import torch
    import torchvision
    from torch.nn import functional as F

    torch.backends.cudnn.benchmark = True
    net = getattr(torchvision.models, model)(num_classes=10).cuda().to(memory_format=torch.channels_last).train()
    x = torch.randn(batch, 3, side, side, device="cuda").to(memory_format=torch.channels_last)
    y = torch.arange(batch, device="cuda") % 10
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "f16")
    times = []
    for _ in range(WARM_UP + STEPS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        sgd.zero_grad()
        with torch.autocast("cuda", torch.float16, enabled=precision == "f16"):
            loss = F.cross_entropy(net(x), y)
        scaler.scale(loss).backward()
        scaler.step(sgd)
        scaler.update()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    print(batch / statistics.median(times[WARM_UP:]))


def steps(options, precisions, cases, pytorch):
    rows = []
    for model, stem, side, batches in cases:
        for batch in batches:
            for precision in precisions:
                print(f"{model}, batch {batch}, {precision}", file=sys.stderr, flush=True)
                command = [options.kindling, "bench", "step", "--json", "--device", options.device]
                command += ["--steps", str(2 if options.quick else STEPS)]
                measured, error = lines(command + settings(model, stem, side, batch, precision))
                row = {"model": model, "side": side, "batch": batch, "precision": precision, "error": error}
                row["kindling"] = measured[-1] if measured else None
                is_torchvision = stem == "imagenet" and model in ("resnet18", "resnet50", "mobilenet_v2")
                row["pytorch_images_per_s"] = (
                    pytorch_step(model, batch, side, precision) if pytorch and is_torchvision else None
                )
                rows.append(row)
    return rows


def tested(log):
    if not log:
        return None
    text = open(log).read()
    found = re.search(r"test result: (\w+)\. (\d+) passed; (\d+) failed", text)
    failed = re.findall(r"^test (\S+) \.\.\. FAILED", text, re.M)
    if not found:
        return {"result": "not run", "failed": []}
    return {"result": found[1], "passed": int(found[2]), "failed": failed}


def table(head, rows):
    return ["| " + " | ".join(map(str, row)) + " |" for row in [head, ["---"] * len(head), *rows]]


def figure(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def page(report):
    device = report["device"]
    out = [f"# Kindling on {device['name']}", ""]
    out += [f"{device['backend']}, {device['driver']}; {report['system']}; {report['kindling']}; {report['date']}", ""]
    if tests := report["tests"]:
        out += [f"Kernel tests: {tests['result']}" + "".join(f"\n- failed: `{name}`" for name in tests["failed"]), ""]
    if wrong := device.get("wrong_kernels"):
        out += ["Kernels that computed wrong results:", "", *(f"- {kernel}" for kernel in wrong), ""]
    out += ["## Training steps", ""]
    rows = []
    for row in report["steps"]:
        own, peer = row["kindling"], row["pytorch_images_per_s"]
        case = [f"`{row['model']}`", row["side"], row["batch"], row["precision"]]
        if own is None:
            rows.append(case + [row["error"], "–", "–", figure(peer), "–"])
            continue
        speed = own["images_per_s"]
        ratio = figure(speed / peer, 2) if peer else "–"
        rows.append(case + [figure(speed), figure(own.get("first_step_s"), 2), figure(own.get("launches_per_step"), 0), figure(peer), ratio])
    head = ["model", "side", "batch", "precision", "images/s", "first step, s", "launches a step", "PyTorch", "ratio"]
    out += table(head, rows) + [""]
    for precision, (model, batch, measured) in report["kernels"].items():
        peak, *kernels = measured or [{}]
        out += [f"## Kernels of `{model}`, batch {batch}, {precision}", ""]
        out += [f"At best {figure(peak.get('peak_gflops'), 0)} GFLOP/s and {figure(peak.get('peak_gigabytes_per_s'))} GB/s.", ""]
        rows = [
            [kernel["operation"], kernel["operations"], kernel["role"], f"`{kernel['kernel']}`"]
            + [figure(1e3 * kernel["seconds"], 3), figure(kernel["gflops"]), figure(kernel["gigabytes_per_s"])]
            + [f"{100 * kernel['possible_share']:.0f} %"]
            for kernel in kernels
        ]
        out += table(["operation", "of them", "launch", "kernel", "ms", "GFLOP/s", "GB/s", "of what is possible"], rows) + [""]
    return "\n".join(out)


def main():
    if sys.argv[1:2] == ["peer"]:
        model, batch, side, precision = sys.argv[2:]
        return peer(model, int(batch), int(side), precision)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kindling", default="target/release/kindling")
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--out", default="gpu-report")
    parser.add_argument("--tests", help="what the kernel tests printed")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    devices, error = lines([options.kindling, "devices", "--json"])
    usable = [device for device in devices if device["device"] != "cpu" and device.get("problem") is None]
    if error or not usable:
        sys.exit(error or "no GPU adapter was found; `kindling devices` says why")
    # `gpu` is the one that Kindling would choose, or the first.
    named = [device for device in usable if device["device"] == options.device]
    device = (named or [device for device in usable if device.get("auto")] or usable)[0]
    options.device = device["device"]
    precisions = ["f32", "f16"] if device["f16"] else ["f32"]
    model, stem, side, batch = QUICK_KERNELS if options.quick else KERNELS
    kernels = {}
    measured_steps = steps(options, precisions, QUICK_CASES if options.quick else CASES, has_pytorch())
    for precision in precisions:
        command = [options.kindling, "bench", "kernels", "--json", "--device", options.device]
        measured, error = lines(command + settings(model, stem, side, batch, precision))
        if error:
            print(f"bench kernels, {precision}: {error}", file=sys.stderr)
        kernels[precision] = (model, batch, measured)
    # Again: what was found wrong meanwhile is in it.
    device = next(d for d in lines([options.kindling, "devices", "--json"])[0] if d["device"] == options.device)
    report = {
        "device": device,
        "system": platform.platform(),
        "kindling": subprocess.run([options.kindling, "--version"], capture_output=True, text=True).stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "tests": tested(options.tests),
        "steps": measured_steps,
        "kernels": kernels,
    }
    os.makedirs(options.out, exist_ok=True)
    for name, text in [("gpu.json", json.dumps(report, indent=1)), ("gpu.md", page(report))]:
        with open(os.path.join(options.out, name), "w") as file:
            file.write(text + "\n")
    print(f"{options.out}/gpu.md and gpu.json")


main()
