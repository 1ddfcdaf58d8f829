#!/usr/bin/env python3
"""What AMD's compiler makes of the GPU kernels, on a machine without a GPU.

    kindling bench kernels --model resnet18 --wgsl FOLDER
    python benches/gpu_report.py FOLDER/*.wgsl [--family NAVI21]… [--isa]

Mesa's RADV compiles for whatever family it is told to on a device that runs nothing: registers, spills and machine code are
those of the card. For each kernel the table has the loop with the most multiply-adds: which share of the cycles in which its
vector instructions issue are multiply-adds (what the loop can reach of the FMA peak, memory and latency apart), the branches
in it and its loads; then the kernel's registers, those that did not fit, and how many waves a SIMD has room for.

Needs Mesa's Vulkan drivers (Debian: mesa-vulkan-drivers), the Python package `vulkan`, and naga of wgpu's version
(`cargo install naga-cli`). naga's command bounds loops by a counter of scalar instructions, which Kindling has it leave out.
"""
import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile

CHILD = "KINDLING_GPU_REPORT_CHILD"
FILE = "== "
MULTIPLY_ADD = re.compile(r"v_(fma|fmac|mac|pk_fma|pk_fmac|fma_mix|dot2|dual_fmac)")
# At a quarter of the rate of others.
SLOW = re.compile(r"v_(mul_(lo|hi)_[ui]32|mad_[ui]64|rcp|rsq|sqrt|exp|log|sin|cos)")


@dataclasses.dataclass
class Loop:
    ops: list

    def count(self, test):
        return sum(bool(test(op)) for op in self.ops)

    @property
    def multiply_adds(self):
        return self.count(MULTIPLY_ADD.match)

    @property
    def cycles(self):
        return sum(4 if SLOW.match(op) else 1 for op in self.ops if op.startswith("v_"))


def spirv(file):
    """The kernel as wgpu hands it to the driver: without checks of bounds, which the shaders make themselves."""
    with tempfile.NamedTemporaryFile(suffix=".spv") as out:
        unchecked = ["--index-bounds-check-policy", "unchecked", "--buffer-bounds-check-policy", "unchecked"]
        naga = subprocess.run(["naga", file, out.name, *unchecked], capture_output=True, text=True)
        return None if naga.returncode else open(out.name, "rb").read()


def compile_all(files):
    """In a child process: what the driver says goes to its standard error."""
    import vulkan as vk

    def open_device():
        app = vk.VkApplicationInfo(apiVersion=vk.VK_MAKE_VERSION(1, 2, 0))
        instance = vk.vkCreateInstance(vk.VkInstanceCreateInfo(pApplicationInfo=app), None)
        half = vk.VkPhysicalDeviceVulkan12Features(shaderFloat16=1, vulkanMemoryModel=1, vulkanMemoryModelDeviceScope=1)
        stored = vk.VkPhysicalDeviceVulkan11Features(
            pNext=half, storageBuffer16BitAccess=1, uniformAndStorageBuffer16BitAccess=1
        )
        queue = vk.VkDeviceQueueCreateInfo(queueFamilyIndex=0, queueCount=1, pQueuePriorities=[1.0])
        info = vk.VkDeviceCreateInfo(pNext=stored, pQueueCreateInfos=[queue])
        return vk.vkCreateDevice(vk.vkEnumeratePhysicalDevices(instance)[0], info, None)

    kinds = {"storage": vk.VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, "uniform": vk.VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER}

    def binding(place, kind):
        return vk.VkDescriptorSetLayoutBinding(
            binding=int(place), descriptorType=kinds[kind], descriptorCount=1, stageFlags=vk.VK_SHADER_STAGE_COMPUTE_BIT
        )

    device = open_device()
    for file in files:
        print(f"\n{FILE}{file}", file=sys.stderr, flush=True)
        if (code := spirv(file)) is None:
            continue
        bindings = [binding(*found) for found in re.findall(r"@binding\((\d+)\) var<(storage|uniform)", open(file).read())]
        group = vk.vkCreateDescriptorSetLayout(device, vk.VkDescriptorSetLayoutCreateInfo(pBindings=bindings), None)
        layout = vk.vkCreatePipelineLayout(device, vk.VkPipelineLayoutCreateInfo(pSetLayouts=[group]), None)
        module = vk.vkCreateShaderModule(device, vk.VkShaderModuleCreateInfo(codeSize=len(code), pCode=code), None)
        stage = vk.VkPipelineShaderStageCreateInfo(stage=vk.VK_SHADER_STAGE_COMPUTE_BIT, module=module, pName="main")
        vk.vkCreateComputePipelines(
            device, vk.VK_NULL_HANDLE, 1, [vk.VkComputePipelineCreateInfo(stage=stage, layout=layout)], None
        )


def hottest_loop(code):
    """The loop with the most multiply-adds, by the branches that lead back."""
    blocks = []
    for line in code.splitlines():
        if found := re.match(r"BB(\d+):", line):
            blocks.append((int(found[1]), []))
        elif blocks and (found := re.match(r"\s+([a-z][a-z0-9_]+)\b(.*?);", line)):
            blocks[-1][1].append((found[1], found[2]))
    places = {block: place for place, (block, _) in enumerate(blocks)}
    best = Loop([])
    for end, (_, ops) in enumerate(blocks):
        for op, rest in ops:
            target = re.search(r"BB(\d+)", rest) if "branch" in op else None
            if target and (begin := places.get(int(target[1]), end + 1)) <= end:
                loop = Loop([op for _, ops in blocks[begin : end + 1] for op, _ in ops])
                best = max(best, loop, key=lambda loop: loop.multiply_adds)
    return best


def what_it_does(file):
    """What `--wgsl` has written on top: the roles, each once."""
    roles = re.findall(r"^// ([^:\n]+): .* workgroups\)$", open(file).read(), re.M)
    return ", ".join(dict.fromkeys(roles)) or "–"


def row(family, file, said):
    def figure(name):
        found = re.search(re.escape(name) + r": (\d+)", said)
        return int(found[1]) if found else None

    name = os.path.basename(file).removesuffix(".wgsl")
    if figure("VGPRs") is None:
        return [family, f"`{name}`", what_it_does(file), "did not compile"] + ["–"] * 6
    loop = hottest_loop(said[said.rfind("disasm:") :])
    share = f"{100 * loop.multiply_adds / loop.cycles:.0f} %" if loop.multiply_adds else "–"
    return [
        family,
        f"`{name}`",
        what_it_does(file),
        share,
        loop.count(lambda op: "branch" in op),
        loop.count(lambda op: op.startswith(("buffer_load", "global_load"))),
        loop.count(lambda op: op.startswith("ds_")),
        figure("VGPRs"),
        figure("Spilled VGPRs"),
        figure("Subgroups per SIMD"),
    ]


def driver():
    """RADV's manifest."""
    folders = [folder for folder in ("/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d") if os.path.isdir(folder)]
    found = [os.path.join(folder, file) for folder in folders for file in sorted(os.listdir(folder))]
    return next((file for file in found if os.path.basename(file).startswith("radeon")), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="KERNEL.wgsl")
    parser.add_argument("--family", action="append", help="as RADV_FORCE_FAMILY has them [default: NAVI21, GFX1100]")
    parser.add_argument("--isa", action="store_true", help="print the machine code too")
    args = parser.parse_args()
    if os.environ.get(CHILD):
        return compile_all(args.files)
    if (manifest := driver()) is None:
        sys.exit("RADV is not installed: Debian has it in mesa-vulkan-drivers")
    print("| card | kernel | what it does | FMA | branches | loads | shared | VGPRs | spilled | waves |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for family in args.family or ["NAVI21", "GFX1100"]:
        said = {
            CHILD: "1",
            "RADV_FORCE_FAMILY": family,
            "RADV_DEBUG": "shaders,shaderstats,nocache",
            "VK_ICD_FILENAMES": manifest,
            "VK_DRIVER_FILES": manifest,
            "NODEVICE_SELECT": "1",
        }
        command = [sys.executable, __file__, *args.files]
        out = subprocess.run(command, env={**os.environ, **said}, capture_output=True, text=True).stderr
        if FILE not in out:
            sys.exit(out[-2000:] or "the driver said nothing")
        for file, text in re.findall(rf"^{FILE}(\S+)\n(.*?)(?=^{FILE}|\Z)", out, re.S | re.M):
            print("| " + " | ".join(map(str, row(family, file, text))) + " |")
            if args.isa:
                print(text[text.rfind("disasm:") :])


main()
