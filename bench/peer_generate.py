#!/usr/bin/env python3
"""Tokens per second of Hugging Face generate on one checkpoint, as JSON: the peer of sampler_bench (bench/run_sampler).

--make CONFIG writes a network with random weights to --model instead; --machine prints what this machine can do.
"""
import argparse
import json
import resource
import time

import torch


def best_of(repeats, run):
    def timed():
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    return min(timed() for _ in range(repeats))


def machine():
    """GEMM rates of torch on a large square product, and bytes a second of reading 1 GiB."""
    flops, size = {}, 2048
    for name in ("float32", "bfloat16"):
        a, b = (torch.randn(size, size, dtype=getattr(torch, name)) for _ in range(2))
        flops[name] = 2 * size**3 / best_of(5, lambda: torch.mm(a, b))
    big = torch.ones(2**28)
    read = big.numel() * 4 / best_of(5, big.sum)
    return {"flops": flops, "read_bytes_per_s": read, "cache_bytes": 16 * 2**20}


def make(network, folder, dtype):
    from transformers import Qwen3Config, Qwen3ForCausalLM
    torch.manual_seed(0)
    torch.set_default_dtype(getattr(torch, dtype))
    config = Qwen3Config(**network, max_position_embeddings=4096, tie_word_embeddings=True, rope_theta=1e6,
                         bos_token_id=None, eos_token_id=None)
    Qwen3ForCausalLM(config).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--make", type=json.loads, metavar="CONFIG")
    parser.add_argument("--machine", action="store_true")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--prompt-length", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    if o.machine:
        print(json.dumps(machine()))
        return
    if o.make:
        make(o.make, o.model, o.dtype)
        return
    from transformers import AutoModelForCausalLM
    model = AutoModelForCausalLM.from_pretrained(o.model, dtype=getattr(torch, o.dtype)).eval()
    vocab = model.config.vocab_size
    ids = torch.tensor([[(7919 * (t + 1) + 104729 * p) % vocab for t in range(o.prompt_length)]
                        for p in range(o.prompts)])
    options = dict(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, pad_token_id=0, eos_token_id=None,
                   attention_mask=torch.ones_like(ids))

    def run(tokens):
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, min_new_tokens=tokens, max_new_tokens=tokens, **options)
        assert out.shape[1] == o.prompt_length + tokens
        return time.perf_counter() - start

    run(2)  # warm-up
    prompt = min(run(1) for _ in range(o.repeats))
    total = min(run(o.tokens) for _ in range(o.repeats))
    count = o.prompts * o.tokens
    print(json.dumps({"tokens": count, "seconds": total, "tokens_per_s": count / total, "prompt_seconds": prompt,
                      "step_ms": 1e3 * (total - prompt) / max(1, o.tokens - 1),
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
