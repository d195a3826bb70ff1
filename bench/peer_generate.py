#!/usr/bin/env python3
"""Tokens per second of Hugging Face generate on one checkpoint, as JSON: the peer of sampler_bench (bench/run_sampler)."""
import argparse
import json
import resource
import time

import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--prompt-length", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
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
