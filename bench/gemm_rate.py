#!/usr/bin/env python3
"""Flops a CPU second of torch's fp32 product on this machine, as JSON: a large square one, and the maps of one layer of
--model with --rows rows, together."""
import argparse
import json
import pathlib
import time

import torch


def rate(shapes, repeats):
    """Of (rows, in, out) products, one after the other."""
    operands = [(torch.randn(rows, i), torch.randn(o, i).t()) for rows, i, o in shapes]
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        for a, b in operands:
            torch.mm(a, b)
        best = min(best, time.process_time() - start)
    return sum(2 * rows * i * o for rows, i, o in shapes) / best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    c = json.loads((o.model / "config.json").read_text())
    hidden, ffn = c["hidden_size"], c["intermediate_size"]
    q, kv = c["num_attention_heads"] * c["head_dim"], c["num_key_value_heads"] * c["head_dim"]
    shapes = [(hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (hidden, ffn), (hidden, ffn), (ffn, hidden)]
    rates = {"square": rate([(2048, 2048, 2048)], 5), "layer": rate([(o.rows, i, out) for i, out in shapes], 20)}
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
