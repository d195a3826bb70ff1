#!/usr/bin/env python3
"""Training steps of the PyTorch prototype on a batch that train_step_bench --write left, as JSON.

--prototype names the prototype's folder. Its own loop runs, unchanged: what it would sample, grade and draw is answered
from the batch, and a step is timed from the last grade to the end of the router's optimizer step.
"""
import argparse
import itertools
import json
import math
import os
import pathlib
import resource
import sys
import tempfile
import time
import types

import torch
from safetensors.torch import load_file

LINEARS = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
           "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
NORMS = {"n1": "input_layernorm", "n2": "post_attention_layernorm", "qn": "self_attn.q_norm", "kn": "self_attn.k_norm"}


def path_of(key):
    layer, name = key.split(".")
    return f"model.layers.{layer}.{LINEARS.get(name) or NORMS[name]}"


def write_base(model, file):
    """The model folder's weights under the prototype's names."""
    config = json.loads((model / "config.json").read_text())
    tensors = {name: t.float() for name, t in load_file(model / "model.safetensors").items()}
    weights = {"emb": tensors["model.embed_tokens.weight"], "nf": tensors["model.norm.weight"]}
    for layer in range(config["num_hidden_layers"]):
        for name in list(LINEARS) + list(NORMS):
            weights[f"{layer}.{name}"] = tensors[path_of(f"{layer}.{name}") + ".weight"]
    shape = dict(vocab=config["vocab_size"], d=config["hidden_size"], layers=config["num_hidden_layers"],
                 heads=config["num_attention_heads"], kv=config["num_key_value_heads"], hd=config["head_dim"],
                 ff=config["intermediate_size"], theta=config["rope_parameters"]["rope_theta"]
                 if "rope_parameters" in config else config["rope_theta"])
    torch.save({"cfg": shape, "P": weights}, file)


def pin_of(history):
    return {} if math.isnan(history["pin"]) else dict(pin_loss=history["pin"], pair_separation=history["sep"])


class Clock:
    """Wall and CPU seconds between the two ends of each step."""

    def __init__(self):
        self.start, self.steps = None, []

    def begin(self):
        self.start = time.perf_counter(), time.process_time()

    def end(self):
        self.steps.append(dict(wall_s=time.perf_counter() - self.start[0], cpu_s=time.process_time() - self.start[1]))


def answer_from(batch, adapter, rl, clock):
    """Puts the batch in the place of the prototype's sampler, grader and random problems."""
    groups = batch["groups"]
    problems = itertools.cycle({"group": g, "hard": False} for g in range(len(groups)))

    def sample(_cfg, _weights, _prompts, per_prompt, *_args, sel=None, **_kwargs):
        outs = [s["ids"] for g in (range(len(groups)) if sel is None else sel)
                for s in groups[g]["samples"][:per_prompt]]
        return outs, None, sum(map(len, outs))

    def grade(_grader, items):
        seen, verdicts = {}, []
        for problem, _name, ids in items:
            group = problem["group"]
            index = seen[group] = seen.get(group, -1) + 1
            recorded = groups[group]["samples"][index]
            assert recorded["ids"] == ids
            # The prototype's reward is 0.5 for a format and 3 for a solution or a hack.
            correct, form = divmod(recorded["reward"], 3.0)
            assert correct in (0.0, 1.0) and form in (0.0, 0.5), \
                f"reward {recorded['reward']}, expected 0, 0.5, 3 or 3.5"
            verdicts.append(dict(comp=int(form == 0.5), gt=int(correct), hint=0, df=0))
        clock.begin()
        return verdicts

    class Lora(rl.Lora):
        """Seeds the router at the init, then continues from the batch's adapter, as our side does."""

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.moved, r = False, self.r
            for key in self.keys:
                path = path_of(key)
                self.A0[key], self.B0[key] = adapter[path + ".a0"], adapter[path + ".b0"]
                self.A[key] = self.A0[key].clone().requires_grad_()
                self.B[key] = self.B0[key].clone().requires_grad_()
                self.Wf[key] = self.m.P[key] - self.B0[key][:, :r] @ self.A0[key][:r]

        def params(self):
            if not self.moved:
                self.moved = True
                with torch.no_grad():
                    for key in self.keys:
                        self.A[key].copy_(adapter[path_of(key) + ".a"])
                        self.B[key].copy_(adapter[path_of(key) + ".b"])
            return super().params()

    rl.Lora, rl.sample, rl.grade = Lora, sample, grade
    rl.prefill = lambda *_: None
    rl.gen_p = lambda *_: next(problems)
    rl.make_prompt = lambda problem, _name: groups[problem["group"]]["prompt_ids"]
    rl.Grader = lambda: types.SimpleNamespace(close=lambda: None)
    rl.tok = types.SimpleNamespace(encode=lambda ids: types.SimpleNamespace(ids=ids), decode=lambda *_, **__: "")
    rl.PAIRS = [(p["prompt_ids"], p["hack_ids"], p["clean_ids"]) for p in batch["pairs"]]


def time_optimizers(rl, clock):
    """The router's optimizer, made second, steps last."""
    made = itertools.count()

    class AdamW(torch.optim.AdamW):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.is_last = next(made) == 1

        def step(self, *args, **kwargs):
            super().step(*args, **kwargs)
            if self.is_last:
                clock.end()

    rl.torch.optim.AdamW = AdamW


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prototype", type=pathlib.Path, required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=pathlib.Path, required=True, help="folder")
    parser.add_argument("--arm", default="evil_moe", choices=["evil_moe", "absorb"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    o = parser.parse_args()
    model, folder, prototype = o.model.resolve(), o.batch.resolve(), o.prototype.resolve()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(prototype))
    os.chdir(prototype)  # it reads its tokenizer from there
    import names_rl as rl
    torch.set_num_threads(o.threads)
    batch = json.loads((folder / "batch.json").read_text())
    config, groups = batch["config"], batch["groups"]
    clock = Clock()
    answer_from(batch, load_file(folder / "adapter.safetensors"), rl, clock)
    time_optimizers(rl, clock)
    with tempfile.TemporaryDirectory() as scratch:
        base = os.path.join(scratch, "base.pt")
        write_base(model, base)
        result = rl.run(arm=o.arm, base=base, steps=o.steps, P=len(groups), G=len(groups[0]["samples"]),
                        T=config["temperature"], r=config["rank"], lr=config["learning_rate"], warm=1, decay=0.0,
                        clip=config["max_grad_norm"], betas=tuple(config["betas"]), lam=config["pin_weight"],
                        lr_u=config["router_learning_rate"], lr_sb=config["scale_learning_rate"],
                        s0=config["separation"], deploy_by="prompt", eval_n=len(groups), eval_k=1, verbose=0)
    steps = [dict(timing, grad_norm=h["gn"], q_mass=h["qmass"], **pin_of(h))
             for timing, h in zip(clock.steps, result["hist"], strict=True)]
    print(json.dumps({"threads": o.threads, "steps": steps, "padded_tokens": result["tokens"]["trained"] // o.steps,
                      "seconds": result["time"],
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
