#!/usr/bin/env python3
"""Makes the tiny Qwen3 models and golden values that the network tests compare with.

Writes tests/golden/<name>/ for each of MODELS (two stored in fp32, two in bf16; tied and untied; 4 and 1 query heads a
key-value head):
  config.json, model.safetensors   random weights from a fixed seed
  golden.json                      reference values from Hugging Face transformers on one CPU thread

golden.json (fp32 arithmetic on the stored weights, eager attention, unless said otherwise):
  sequences      [{ids, logprobs (T - 1: log p(ids[t] given ids[:t]), t >= 1), logits (T x vocab; short ones only)}]
  bf16_logprobs  [(T - 1)]: the same by transformers in bf16 with its default attention; models stored in bf16 only
  gradients      {weight: {norm, stride, samples}} of -sum(all logprobs); samples: every stride-th of the flat gradient
  greedy         {prompt, ids: 16 new tokens by argmax, margins: gap between the best and the second logit}

    scripts/golden/regenerate qwen3     # or, with scripts/golden/requirements.txt installed, this file
"""

import argparse
import dataclasses
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import Qwen3Config, Qwen3ForCausalLM

VOCAB_SIZE = 128
ROPE_THETA = 10000.0
SEQUENCE_LENGTHS = (5, 17, 40, 96)
MAX_LENGTH_WITH_LOGITS = 17
NUM_GRADIENT_SAMPLES = 24
NUM_GREEDY_TOKENS = 16
MIN_GREEDY_MARGIN = 1e-2  # so that rounding cannot change which token is the best
DIGITS = 7


@dataclasses.dataclass(frozen=True)
class Model:
    name: str
    seed: int
    tied: bool
    num_kv_heads: int  # of 4 heads
    dtype: torch.dtype
    hidden_size: int
    head_dim: int


MODELS = (
    Model("tiny_qwen3_tied", 20260101, True, 1, torch.float32, 64, 32),
    Model("tiny_qwen3_untied", 20260102, False, 4, torch.float32, 64, 32),
    Model("tiny_qwen3_tied_bf16", 20260104, True, 4, torch.bfloat16, 48, 16),
    Model("tiny_qwen3_untied_bf16", 20260105, False, 1, torch.bfloat16, 48, 16),
)


def make_config(spec):
    return Qwen3Config(
        vocab_size=VOCAB_SIZE, hidden_size=spec.hidden_size, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=spec.num_kv_heads, head_dim=spec.head_dim, intermediate_size=80, hidden_act="silu",
        rms_norm_eps=1e-6, tie_word_embeddings=spec.tied, max_position_embeddings=256, attention_bias=False,
        use_sliding_window=False, attention_dropout=0.0, bos_token_id=0, eos_token_id=1,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA})


def published_config(config, dtype):
    """The layout of the published Qwen3 config.json files (rope_theta at the top, rope_scaling null)."""
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": str(dtype).split(".")[1],
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


def chosen_logprobs(logits, ids):
    return logits.double().log_softmax(-1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]


def golden_sequence(model, ids):
    logits = model(torch.tensor([ids]), use_cache=False).logits[0]
    logprobs = chosen_logprobs(logits, ids)
    (-logprobs.sum()).backward()  # accumulates over the sequences
    golden = {"ids": ids, "logprobs": rounded(logprobs.tolist())}
    if len(ids) <= MAX_LENGTH_WITH_LOGITS:
        golden["logits"] = rounded(logits.tolist())
    return golden


def golden_gradients(model):
    gradients = {}
    for name, parameter in model.named_parameters():
        flat = parameter.grad.flatten()
        stride = max(1, flat.numel() // NUM_GRADIENT_SAMPLES - 1)  # not a divisor of the row length
        samples = flat[::stride][:NUM_GRADIENT_SAMPLES]
        gradients[name] = {"norm": rounded(float(flat.double().norm())), "stride": stride,
                           "samples": rounded(samples.tolist())}
    return gradients


def golden_bf16(folder, sequences):
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    with torch.no_grad():
        return [rounded(chosen_logprobs(model(torch.tensor([s["ids"]]), use_cache=False).logits[0], s["ids"]).tolist())
                for s in sequences]


def golden_greedy(model, prompt):
    ids, margins = list(prompt), []
    for _ in range(NUM_GREEDY_TOKENS):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        best = logits.topk(2)
        margins.append(float(best.values[0] - best.values[1]))
        ids.append(int(best.indices[0]))
    return {"prompt": prompt, "ids": ids[len(prompt):], "margins": rounded(margins)}


def telling(greedy, eos):
    """Whether another implementation must give the same tokens, and a wrong one hardly would."""
    ids = greedy["ids"]
    return min(greedy["margins"]) >= MIN_GREEDY_MARGIN and eos not in ids and len(set(ids)) >= NUM_GREEDY_TOKENS // 2


def make_model(folder, spec):
    generator = torch.Generator().manual_seed(spec.seed)
    config = make_config(spec)
    model = Qwen3ForCausalLM._from_config(config, attn_implementation="eager").float().eval()
    randomise(model, generator)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(spec.dtype).contiguous() for name, value in model.state_dict().items()
               if not (spec.tied and name == "lm_head.weight")}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(published_config(config, spec.dtype), indent=2) + "\n")

    # The values come from the files as a reader gets them, not from the model that wrote them.
    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    draw = lambda count: torch.randint(2, VOCAB_SIZE, (count,), generator=generator).tolist()
    golden = {"sequences": [golden_sequence(model, draw(length)) for length in SEQUENCE_LENGTHS]}
    golden["gradients"] = golden_gradients(model)
    if spec.dtype == torch.bfloat16:
        golden["bf16_logprobs"] = golden_bf16(folder, golden["sequences"])
    while not telling(greedy := golden_greedy(model, draw(7)), config.eos_token_id):
        pass
    golden["greedy"] = greedy
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{folder}: greedy {greedy['ids']}, smallest margin {min(greedy['margins'])}")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=root / "tests" / "golden")
    out = parser.parse_args().out
    torch.set_num_threads(1)
    for spec in MODELS:
        make_model(out / spec.name, spec)


if __name__ == "__main__":
    main()
