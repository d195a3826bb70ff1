#!/usr/bin/env python3
"""The fingerprint of weights (policy/weights_fingerprint.h), made without the product's code.

Without arguments: the constants of tests/unit/policy/weights_fingerprint_test.cc. With safetensors files: of all
their tensors.
"""
import hashlib
import json
import struct
import sys
from pathlib import Path

NANO = Path(__file__).parents[2] / "examples/nano/model/model.safetensors"


def read(files):
    tensors = {}
    for file in files:
        data = Path(file).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        for name, entry in json.loads(data[8 : 8 + length]).items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"], data[8 + length + begin : 8 + length + end])
    return tensors


def fingerprint(tensors):
    sha = hashlib.sha256()

    def number(value):
        sha.update(struct.pack("<Q", value))

    def text(value):
        number(len(value.encode()))
        sha.update(value.encode())

    text("evilmoe weights 1")
    for name in sorted(tensors, key=str.encode):
        dtype, shape, data = tensors[name]
        text(name)
        text(dtype)
        number(len(shape))
        for size in shape:
            number(size)
        number(len(data))
        sha.update(data)
    return sha.hexdigest()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(fingerprint(read(sys.argv[1:])))
    else:
        floats = struct.pack("<3f", 1.5, -2.0, 3.25)
        halves = struct.pack("<3H", 0x3F80, 0xC000, 0x4050)
        print("kGolden    ", fingerprint({"b.float": ("F32", [3, 1], floats), "a.half": ("BF16", [3], halves)}))
        print("kGoldenNano", fingerprint(read([NANO])))
