#!/usr/bin/env python3
"""Makes the logits that Hugging Face peft computes from our exports, as the golden values of peft_golden_test.

Wants a release build: write_peft_adapters makes two adapters (tests/golden/peft_cases.h), evilmoe-trainer exports each of
them in both blocks, and peft opens the folders unchanged over the tiny model. The merged export is opened by transformers
and held to the same logits here. The definition of docs (W + s * (B A - B0 A0) an expert) is computed beside them with
torch from the adapter's own file, for the adapters whose init is 0 and hence in that file whole.

Writes tests/golden/peft/golden.json: [{init, block, w, rank, ids, tensors_sha256, logits (T x vocab)}]; tensors_sha256 is
of the exported tensors in order of their names, so that the logits are known to be of exactly these.

    scripts/golden/regenerate peft      # or, with scripts/golden/requirements.txt installed, this file
"""

import hashlib
import json
import pathlib
import subprocess
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
BASE = ROOT / "tests" / "golden" / "tiny_qwen3_untied"
IDS = [3, 99, 41, 7, 120, 64, 5, 12]
CASES = [(init, block, w) for init in ("random_ab", "zero_b") for block, w in
         (("deployed", None), ("full", 1.0), ("full", 0.37))]
TOLERANCE = 1e-4
RANK, SCALE = 3, 0.75  # of peft_cases.h
DIGITS = 7


def export(adapter, folder, *words):
    subprocess.run([BUILD / "bin" / "evilmoe-trainer", "export", adapter, "--model", BASE, "--out", folder, *words],
                   check=True, stdout=subprocess.DEVNULL)
    return folder


def base_model(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def logits_of(model):
    with torch.no_grad():
        return model(torch.tensor([IDS])).logits[0]


def defined_logits(adapter, w):
    """Of an adapter whose B0 is 0: W + SCALE * (B_D A_D + w B_Q A_Q) on every module."""
    model, tensors = base_model(BASE), load_file(adapter)
    for name in {key.rsplit(".", 1)[0] for key in tensors}:
        _, layer, linear = name.split(".")
        block = model.model.layers[int(layer)]
        module = getattr(block.self_attn if linear[0] in "qkvo" else block.mlp, linear)
        a, b = tensors[name + ".A"].double(), tensors[name + ".B"].double()
        delta = b[:, :RANK] @ a[:RANK] + w * (b[:, RANK:] @ a[RANK:])
        module.weight.data += (SCALE * delta).float()
    return logits_of(model)


def sha256_of(tensors):
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0" + tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


def hold(name, got, want):
    difference = (got - want).abs().max().item()
    print(f"  {name}: max difference {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name}: above {TOLERANCE}")


def make_case(folder, init, block, w):
    adapter = folder / f"{init}.safetensors"
    words = ["--block", block] + ([] if w is None else ["--w", str(w)])
    peft_folder = export(adapter, folder / f"{init}_{block}_{w}", *words)
    peft_logits = logits_of(PeftModel.from_pretrained(base_model(BASE), peft_folder))
    merged = export(adapter, folder / f"{init}_{block}_{w}_merged", "--format", "merged", *words)
    print(f"{init}, {block}" + ("" if w is None else f", w = {w}"))
    hold("merged export in transformers against peft", logits_of(base_model(merged)), peft_logits)
    if init == "zero_b":
        hold("the definition against peft", defined_logits(adapter, w or 0.0), peft_logits)
    tensors = load_file(peft_folder / "adapter_model.safetensors")
    config = json.loads((peft_folder / "adapter_config.json").read_text())
    return dict(init=init, block=block, w=w or 0.0, rank=config["r"], ids=IDS, tensors_sha256=sha256_of(tensors),
                logits=[[float(f"%.{DIGITS}g" % x) for x in row] for row in peft_logits.tolist()])


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([BUILD / "tests" / "write_peft_adapters", folder], check=True)
        cases = [make_case(folder, *case) for case in CASES]
    out = ROOT / "tests" / "golden" / "peft" / "golden.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"wrote {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
