#!/usr/bin/env python3
"""Training steps of TRL's GRPOTrainer with a peft LoRA on a batch that train_step_bench --write left, as JSON.

The adapter is one LoRA of rank 2r on the same seven maps, from the batch's A and B (no init is subtracted:
W x + B A x). A step is the trainer's own compute_loss on prepared inputs (prompts padded on the left, completions on
the right), the backward pass, clipping and AdamW; it neither samples nor routes, and has no pin.
"""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora(base, config, adapter):
    rank = 2 * config["rank"]
    model = get_peft_model(base, LoraConfig(r=rank, lora_alpha=rank, target_modules=MAPS, lora_dropout=0.0,
                                            task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                path, factor = name.removeprefix("base_model.model.").split(".lora_")
                parameter.copy_(adapter[f"{path}.{factor[0].lower()}"])
    return model


def pad(rows, left):
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place], mask[i, place] = torch.tensor(row), 1
    return ids, mask


def prepare(groups, size):
    """The batch in micro-batches of whole groups, as GRPOTrainer's _prepare_inputs hands them out."""
    rows = [(g["prompt_ids"], s["ids"], s["advantage"]) for g in groups for s in g["samples"]]
    batches = []
    for begin in range(0, len(rows), size):
        prompts, completions, advantages = zip(*rows[begin:begin + size])
        prompt_ids, prompt_mask = pad(prompts, left=True)
        completion_ids, completion_mask = pad(completions, left=False)
        batches.append(dict(prompt_ids=prompt_ids, prompt_mask=prompt_mask, completion_ids=completion_ids,
                            completion_mask=completion_mask, advantages=torch.tensor(advantages),
                            num_items_in_batch=completion_mask.sum()))
    return batches


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=pathlib.Path, required=True, help="folder")
    parser.add_argument("--micro-batch", type=int, default=0, help="samples; 0: all at once")
    parser.add_argument("--only-in-loss", action="store_true", help="leave out groups of equal rewards, as we do")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=5)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    batch = json.loads((o.batch / "batch.json").read_text())
    config = batch["config"]
    groups = [g for g in batch["groups"] if g["in_loss"] or not o.only_in_loss]
    samples = sum(len(g["samples"]) for g in groups)
    micro = o.micro_batch or samples
    batches = prepare(groups, micro)
    # Keeps the mean over all samples of the step where some are left out.
    kept = samples / sum(len(g["samples"]) for g in batch["groups"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(o.model, "tokenizer.json"), pad_token="<|im_end|>",
                                        eos_token="<|im_end|>")
    base = AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.float32)
    model = lora(base, config, load_file(o.batch / "adapter.safetensors"))
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        trainer = GRPOTrainer(
            model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions), processing_class=tokenizer,
            train_dataset=Dataset.from_dict({"prompt": ["none"]}),
            args=GRPOConfig(output_dir=scratch, use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False,
                            per_device_train_batch_size=micro, gradient_accumulation_steps=len(batches),
                            num_generations=len(groups[0]["samples"]), temperature=config["temperature"], beta=0.0,
                            loss_type="grpo", learning_rate=config["learning_rate"], adam_beta1=config["betas"][0],
                            adam_beta2=config["betas"][1], weight_decay=0.0, max_grad_norm=config["max_grad_norm"],
                            lr_scheduler_type="constant", disable_dropout=True))
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = len(batches)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    steps = []
    for _ in range(o.steps):
        wall, cpu, total = time.perf_counter(), time.process_time(), 0.0
        for inputs in batches:
            loss = kept * trainer.compute_loss(model, inputs)
            trainer.accelerator.backward(loss)
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(parameters, config["max_grad_norm"]).item()
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        steps.append(dict(wall_s=time.perf_counter() - wall, cpu_s=time.process_time() - cpu, loss=total,
                          grad_norm=norm))
    padded = sum(b["prompt_ids"].numel() + b["completion_ids"].numel() for b in batches)
    print(json.dumps({"threads": o.threads, "micro_batch": micro, "steps": steps, "padded_tokens": padded,
                      "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
