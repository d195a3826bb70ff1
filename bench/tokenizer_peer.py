#!/usr/bin/env python3
"""What tokenizer_bench measures, by Hugging Face tokenizers on one thread. Started by bench/run_tokenizer.

    tokenizer_peer.py --tokenizer FOLDER --seconds S --texts FILE...

`encode` and `decode` are a call a text; `encode_batch` and `decode_batch` are one call for all texts, which leaves next
to nothing to the Python binding (encode_batch_fast: no offsets, and the ids stay in Rust).
"""

import argparse
import json
import os
import pathlib
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

from tokenizers import Tokenizer  # noqa: E402: after the environment is set


def texts_of(file):
    texts = []
    for line in pathlib.Path(file).read_text(encoding="utf-8").split("\n"):
        if line:
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            texts.append(value if isinstance(value, str) else line)
    return texts


def fastest(seconds, run):
    best, start = float("inf"), time.perf_counter()
    while True:
        pass_start = time.perf_counter()
        result = run()
        now = time.perf_counter()
        best = min(best, now - pass_start)
        if now - start >= seconds:
            return best, result


def fnv(all_ids):
    value = 2166136261
    for ids in all_ids:
        for number in ids:
            for byte in number.to_bytes(4, "little"):
                value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--texts", nargs="+", required=True)
    parser.add_argument("--seconds", type=float, default=1.0)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.from_file(os.path.join(arguments.tokenizer, "tokenizer.json"))
    for file in arguments.texts:
        texts = texts_of(file)
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
        common = {"texts": file, "tokens": sum(map(len, ids)), "hash": fnv(ids)}
        num_bytes = sum(len(text.encode()) for text in texts)
        decoded = sum(len(text.encode()) for text in tokenizer.decode_batch(ids, skip_special_tokens=False))
        runs = {
            "encode": (num_bytes, lambda: [tokenizer.encode(text, add_special_tokens=False) for text in texts]),
            "encode_batch": (num_bytes, lambda: tokenizer.encode_batch_fast(texts, add_special_tokens=False)),
            "decode": (decoded, lambda: [tokenizer.decode(each, skip_special_tokens=False) for each in ids]),
            "decode_batch": (decoded, lambda: tokenizer.decode_batch(ids, skip_special_tokens=False)),
        }
        for operation, (size, run) in runs.items():
            seconds, _ = fastest(arguments.seconds, run)
            print(json.dumps({**common, "operation": operation, "bytes": size, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
