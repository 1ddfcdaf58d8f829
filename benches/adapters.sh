#!/usr/bin/env bash
# Runs the tests of the GPU's kernels on software adapters of several makers and says which passed, on Debian 12:
#
#     benches/adapters.sh [FOLDER]
#
# They are the Mesa that is installed, in vectors of 128, 256 and 512 bits, Mesa of bookworm-backports, and SwiftShader as
# Chromium brings it. The packages of the last two are downloaded into FOLDER (else a temporary one) and unpacked there;
# nothing is installed. TESTS names the program of the unit tests if it is built already. A maker whose packages can't be
# had is said to be missing. Takes some minutes, with Mesa of bookworm-backports half an hour: it compiles slowly.
set -u
tests=${TESTS-}
if [ -z "$tests" ]; then
    tests=$(cargo test --release --lib --no-run --message-format=json |
        python3 -c 'import json, sys; print([p for line in sys.stdin for p in [json.loads(line).get("executable")] if p][-1])')
fi
folder=$(realpath "${1:-$(mktemp -d)}")
mkdir -p "$folder"/{lists/partial,cache/archives/partial,runtime,swiftshader,mesa}
chmod 700 "$folder/runtime"
cat > "$folder/sources.list" <<END
deb http://deb.debian.org/debian bookworm main
deb http://deb.debian.org/debian bookworm-backports main
deb http://deb.debian.org/debian-security bookworm-security main
END
cat > "$folder/apt.conf" <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder/cache";
APT::Sandbox::User "root";
END

# get TO PACKAGE…: the packages' files
get() {
    local to=$folder/$1
    shift
    if ! compgen -G "$to/*.deb" > /dev/null; then
        (cd "$to" && apt-get download "$@") > "$to.log" 2>&1 || return 1
    fi
    for package in "$to"/*.deb; do dpkg -x "$package" "$to/files"; done
}

# run NAME VARIABLE=VALUE…: the tests with these variables
run() {
    local name=$1 log=$folder/log result
    shift
    env XDG_RUNTIME_DIR="$folder/runtime" XDG_CACHE_HOME="$folder/cache-of-$name" MESA_SHADER_CACHE_DIR="$folder/cache-of-$name" \
        KINDLING_REQUIRE=gpu "$@" timeout 3600 "$tests" ops::wgpu > "$log-$name" 2>&1
    result=$(grep -o '[0-9]* passed; [0-9]* failed' "$log-$name" || echo 'broke off')
    echo "| $name | $result | $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log-$name" | paste -sd ' ') |"
}

export APT_CONFIG=$folder/apt.conf
apt-get update > "$folder/update.log" 2>&1
echo '| adapter | tests | failed |'
echo '| --- | --- | --- |'
for bits in 128 256 512; do run "mesa-$bits" LP_NATIVE_VECTOR_WIDTH=$bits; done
drivers=/usr/lib/x86_64-linux-gnu
if get mesa -t bookworm-backports mesa-vulkan-drivers libdrm2 libdrm-amdgpu1; then
    new=$folder/mesa/files
    sed "s|\"library_path\": *\".*/|\"library_path\": \"$new$drivers/|" "$new"/usr/share/vulkan/icd.d/lvp_icd*.json > "$folder/mesa.json"
    run mesa-backports VK_DRIVER_FILES="$folder/mesa.json" VK_ICD_FILENAMES="$folder/mesa.json" LD_LIBRARY_PATH="$new$drivers"
else
    echo '| mesa-backports | missing | |'
fi
if get swiftshader chromium-common; then
    icd=$folder/swiftshader/files/usr/lib/chromium/vk_swiftshader_icd.json
    run swiftshader VK_DRIVER_FILES="$icd" VK_ICD_FILENAMES="$icd"
else
    echo '| swiftshader | missing | |'
fi
echo "what they said: $folder/log-*" >&2
