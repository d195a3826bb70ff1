#!/usr/bin/env python3
"""Makes the tiny Qwen3 models and golden values that the network tests compare with.

Writes, for a tied and an untied model, tests/golden/tiny_qwen3_{tied,untied}/:
  config.json, model.safetensors   float32, random weights from a fixed seed
  golden.json                      reference values from Hugging Face transformers on one CPU thread

golden.json:
  sequences   [{ids, logits (T x vocab), logprobs (T - 1: log p(ids[t] given ids[:t]), t >= 1)}]
  greedy      {prompt, ids: 16 new tokens by argmax, margins: gap between the best and the second logit}

    pip install torch==2.13.0 transformers safetensors numpy    # the CPU build of torch is enough
    scripts/golden/make_qwen3_golden.py
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

VOCAB_SIZE = 128
ROPE_THETA = 10000.0
SEQUENCE_LENGTHS = (5, 17, 40)
NUM_GREEDY_TOKENS = 16
MIN_GREEDY_MARGIN = 1e-2  # so that rounding cannot change which token is the best
DIGITS = 7


def make_config(tied):
    return Qwen3Config(
        vocab_size=VOCAB_SIZE, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, intermediate_size=96, hidden_act="silu", rms_norm_eps=1e-6, tie_word_embeddings=tied,
        max_position_embeddings=256, attention_bias=False, use_sliding_window=False, attention_dropout=0.0,
        bos_token_id=0, eos_token_id=1, rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA})


def published_config(config):
    """The layout of the published Qwen3 config.json files (rope_theta at the top, rope_scaling null)."""
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "float32",
        "vocab_size": config.vocab_size, "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers, "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads, "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_size, "hidden_act": config.hidden_act,
        "rope_theta": ROPE_THETA, "rope_scaling": None,
        "rms_norm_eps": config.rms_norm_eps, "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": False, "attention_dropout": 0.0, "use_sliding_window": False, "sliding_window": None,
        "max_position_embeddings": config.max_position_embeddings,
        "bos_token_id": config.bos_token_id, "eos_token_id": config.eos_token_id,
    }


def randomise(model, generator):
    """Weights large enough that every part of the network shows in the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1.0 + 0.3 * noise)
            elif "embed_tokens" in name:
                parameter.copy_(0.5 * noise)
            else:
                parameter.copy_(1.5 * noise / parameter.shape[1] ** 0.5)


def rounded(values):
    if isinstance(values, list):
        return [rounded(value) for value in values]
    return float(f"{values:.{DIGITS}g}")


def golden_sequence(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    logprobs = logits.double().log_softmax(-1)
    targets = torch.tensor(ids[1:])
    chosen = logprobs[:-1].gather(1, targets[:, None])[:, 0]
    return {"ids": ids, "logits": rounded(logits.tolist()), "logprobs": rounded(chosen.tolist())}


def golden_greedy(model, prompt):
    ids, margins = list(prompt), []
    for _ in range(NUM_GREEDY_TOKENS):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = logits.topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return {"prompt": prompt, "ids": ids[len(prompt):], "margins": rounded(margins)}


def make_model(folder, tied, seed):
    generator = torch.Generator().manual_seed(seed)
    config = make_config(tied)
    model = Qwen3ForCausalLM._from_config(config, attn_implementation="eager").float().eval()
    randomise(model, generator)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()
               if not (tied and name == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(published_config(config), indent=2) + "\n")

    # The values come from the files as a reader gets them, not from the model that wrote them.
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    draw = lambda count: torch.randint(2, VOCAB_SIZE, (count,), generator=generator).tolist()
    sequences = [golden_sequence(model, draw(length)) for length in SEQUENCE_LENGTHS]
    while min((greedy := golden_greedy(model, draw(7)))["margins"]) < MIN_GREEDY_MARGIN:
        pass
    golden = {"sequences": sequences, "greedy": greedy}
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{folder}: greedy {greedy['ids']}, smallest margin {min(greedy['margins'])}")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "golden")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    make_model(out / "tiny_qwen3_tied", tied=True, seed=20260101)
    make_model(out / "tiny_qwen3_untied", tied=False, seed=20260102)


if __name__ == "__main__":
    main()
