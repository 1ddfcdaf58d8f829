#!/usr/bin/env bash
# What a GPU does with Kindling, as one page: for whoever has one.
#
#     benches/gpu.sh [--device gpu:N] [--out FOLDER] [--quick]
#
# Builds, runs the kernel tests on the best adapter, times training steps over models, batches and precisions, each kernel
# of a step, and PyTorch's steps beside them where `python3` has it with a GPU. Writes FOLDER/gpu.md, which is made to be
# read and shared, and FOLDER/gpu.json, which has all figures. Takes ten minutes on a discrete GPU, most of them building;
# --quick takes small settings, to try it anywhere.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=$(mktemp)
trap 'rm -f "$tests"' EXIT
cargo build --release --bin kindling
# A failed test is a result, too.
KINDLING_REQUIRE=gpu cargo test --release --lib ops::wgpu 2>&1 | tee "$tests" || true
python3 benches/gpu.py --tests "$tests" "$@"
