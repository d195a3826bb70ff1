#!/usr/bin/env python3
"""Makes the losses and gradients that loss_golden_test compares ours with: every pair of option values at least once.

Token by token in double, from the formulas of the papers that trainer/policy_loss.h, advantages.h and overlong_penalty.h
name: reward, advantage, ratio, clip, masks, KL, reduction. torch gives log-softmax and the gradient.

Writes tests/golden/loss_golden.json:
  factors   [[{field of run.yaml: value}, ...], ...]: the values of each option
  fixed     {field: value} of all cases
  head      V x H
  groups    [[{correct, compiles, stopped, lost, ids, sampler (log-probabilities), base, hidden (tokens x H)}, ...], ...]
  cases     [{choice: a value of each factor, loss, masked_sequences, zero_variance_groups, gradient: of the hidden rows
            in order of group, sample and token, flat}]

    scripts/golden/regenerate loss      # or, with scripts/golden/requirements.txt installed, this file
"""

import itertools
import json
import math
import pathlib
import random
import struct

import torch

MAX_TOKENS, HIDDEN, VOCABULARY, TEMPERATURE = 8, 4, 9, 0.7
FIXED = {"rollout.prompts_per_step": 3, "rollout.group_size": 5, "rollout.max_completion_tokens": MAX_TOKENS,
         "rollout.temperature": TEMPERATURE, "reward.overlong_tokens": 4}
FACTORS = [
    [{"loss.advantage": kind} for kind in ("group_normalised", "mean_centred", "leave_one_out")],
    [{"loss.reduction": kind} for kind in ("sequence_mean", "token_mean", "constant")],
    [{"loss.clip_low": 0.2}, {"loss.clip_low": 0.1}],
    [{"loss.clip_high": 0.2}, {"loss.clip_high": 0.35}],
    [{"loss.dual_clip": None}, {"loss.dual_clip": 1.6}],
    [{"loss.kl_coefficient": 0.0}] + [{"loss.kl_coefficient": 0.05, "loss.kl_estimator": k} for k in ("k1", "k2", "k3")],
    [{"loss.old_logprob": "same_forward"}] + [{"loss.old_logprob": "sampler", "loss.is_cap": cap} for cap in (1.3, 4.0)],
    [{"loss.sequence_mask_above": None}, {"loss.sequence_mask_above": 1.25}],
    [{"loss.truncated": "keep"}, {"loss.truncated": "mask"}],
    [{"reward.overlong_penalty": 0.0}, {"reward.overlong_penalty": 1.5}],
]
# correct, compiles, tokens, stopped, lost. In the last group all rewards are equal until the length counts.
GROUPS = [
    [(1, 1, 3, 1, 0), (0, 1, 8, 0, 0), (0, 0, 5, 1, 0), (0, 1, 6, 1, 0), (1, 1, 7, 1, 0)],
    [(0, 1, 4, 1, 0), (1, 1, 8, 0, 0), (1, 0, 2, 1, 1), (1, 1, 2, 1, 0), (0, 1, 1, 1, 0)],
    [(0, 1, 2, 1, 0), (0, 1, 8, 0, 0), (0, 1, 5, 1, 0), (0, 1, 7, 1, 0), (0, 1, 3, 1, 0)],
]
KINK = 2e-3  # ratios this near to a bound would make the two precisions differ


def single(x):
    """The nearest number that a float holds, so that both precisions read the same input."""
    return struct.unpack("f", struct.pack("f", x))[0]


def log_probs(hidden, ids, head):
    return [torch.log_softmax(head @ row / TEMPERATURE, 0)[token] for row, token in zip(hidden, ids)]


def make_inputs(rng):
    def normal(scale):
        return single(rng.gauss(0, scale))
    head = [[normal(1) for _ in range(HIDDEN)] for _ in range(VOCABULARY)]
    groups = []
    for group in GROUPS:
        groups.append([])
        for correct, compiles, tokens, stopped, lost in group:
            hidden = [[normal(0.7) for _ in range(HIDDEN)] for _ in range(tokens)]
            ids = [rng.randrange(VOCABULARY) for _ in range(tokens)]
            logp = log_probs(torch.tensor(hidden).double(), ids, torch.tensor(head).double())
            shift = rng.gauss(0, 0.25)  # of the whole completion
            groups[-1].append(dict(
                correct=bool(correct), compiles=bool(compiles), stopped=bool(stopped), lost=bool(lost), ids=ids,
                sampler=[single(l.item() + shift + rng.gauss(0, 0.45)) for l in logp],
                base=[single(l.item() + rng.gauss(0, 0.5)) for l in logp], hidden=hidden))
    return head, groups


def reward_of(sample, option):
    reward = 3.0 * sample["correct"] + 0.5 * sample["compiles"]
    length, buffer = len(sample["ids"]), option["reward.overlong_tokens"]
    if length > MAX_TOKENS - buffer:
        reward += option["reward.overlong_penalty"] * ((MAX_TOKENS - buffer) - length) / buffer
    return reward


def advantages_of(rewards, kind):
    """None where all are equal."""
    n, total = len(rewards), sum(rewards)
    mean = total / n
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (n - 1))
    if deviation < 1e-4:
        return None
    if kind == "group_normalised":
        return [(r - mean) / (deviation + 1e-4) for r in rewards]
    if kind == "mean_centred":
        return [r - mean for r in rewards]
    return [r - (total - r) / (n - 1) for r in rewards]


def far_from(value, bounds):
    if any(abs(value - bound) < KINK for bound in bounds):
        raise SystemExit(f"{value} lies at a kink, out of {bounds}: take another seed")


def policy_term(logp, sampler, advantage, option):
    """-gain of one token, case by case instead of by min and max."""
    factor = 1.0
    if option["loss.old_logprob"] == "sampler":
        q, cap = math.exp(logp.item() - sampler), option["loss.is_cap"]
        factor = min(q, cap)
        far_from(q, [cap])
    low, high, dual = 1 - option["loss.clip_low"], 1 + option["loss.clip_high"], option["loss.dual_clip"]
    far_from(factor, [low, high] + ([dual] if dual else []))
    ratio = factor * torch.exp(logp - logp.detach())
    if advantage > 0:
        gain = ratio * advantage if factor <= high else torch.tensor(high * advantage, dtype=torch.double)
    else:
        gain = ratio * advantage if factor >= low else torch.tensor(low * advantage, dtype=torch.double)
        if dual and factor > dual:
            gain = torch.tensor(dual * advantage, dtype=torch.double)
    return -gain


def kl_term(logp, base, estimator):
    if estimator == "k1":
        return logp - base
    if estimator == "k2":
        return (logp - base) ** 2 / 2
    return torch.exp(base - logp) + (logp - base) - 1


def is_masked(logp, sampler, most):
    if most is None:
        return False
    mean = sum(l.item() - s for l, s in zip(logp, sampler)) / len(sampler)
    far_from(abs(mean), [math.log(most)])
    return abs(mean) > math.log(most)


def evaluate(head, groups, option):
    head = torch.tensor(head).double()
    used, masked, zero_variance = [], 0, 0  # (sample, advantage, in the sums)
    leaves = []
    for group in groups:
        present = [s for s in group if not s["lost"]]
        advantages = advantages_of([reward_of(s, option) for s in present], option["loss.advantage"])
        zero_variance += advantages is None
        for i, sample in enumerate(present):
            leaves.append(torch.tensor(sample["hidden"]).double().requires_grad_(True))
            if option["loss.truncated"] == "mask" and not sample["stopped"]:
                continue
            skipped = advantages is None and option["loss.kl_coefficient"] == 0
            used.append((sample, leaves[-1], 0.0 if advantages is None else advantages[i], skipped))
    num_tokens = sum(len(sample["ids"]) for sample, *_ in used)
    capacity = FIXED["rollout.prompts_per_step"] * FIXED["rollout.group_size"] * MAX_TOKENS
    loss = torch.zeros((), dtype=torch.double)
    for sample, leaf, advantage, skipped in used:
        if skipped:
            continue
        logp = log_probs(leaf, sample["ids"], head)
        drop = is_masked(logp, sample["sampler"], option["loss.sequence_mask_above"])
        masked += drop
        divisor = {"sequence_mean": len(logp) * len(used), "token_mean": num_tokens, "constant": capacity}
        for l, s, b in zip(logp, sample["sampler"], sample["base"]):
            term = 0.0 if drop or advantage == 0 else policy_term(l, s, advantage, option)
            if option["loss.kl_coefficient"] > 0:
                term = term + option["loss.kl_coefficient"] * kl_term(l, b, option["loss.kl_estimator"])
            loss = loss + term / divisor[option["loss.reduction"]]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    flat = [torch.zeros_like(l) if g is None else g for l, g in zip(leaves, gradients)]
    return dict(loss=loss.item(), masked_sequences=masked, zero_variance_groups=zero_variance,
                gradient=torch.cat(flat).flatten())


def pairwise(sizes, rng):
    """Choices of a value of each factor in which every pair of values occurs; greedily the best of many random ones."""
    missing = {(i, a, j, b) for i, j in itertools.combinations(range(len(sizes)), 2)
               for a in range(sizes[i]) for b in range(sizes[j])}
    rows = []
    def covered(row):
        return {(i, row[i], j, row[j]) for i, j in itertools.combinations(range(len(row)), 2)}
    while missing:
        candidates = [[rng.randrange(n) for n in sizes] for _ in range(400)]
        best = max(candidates, key=lambda row: len(covered(row) & missing))
        i, a, j, b = min(missing)
        if not covered(best) & missing:
            best[i], best[j] = a, b
        rows.append(best)
        missing -= covered(best)
    return rows


def options_of(choice):
    option = dict(FIXED)
    for values, picked in zip(FACTORS, choice):
        option.update(values[picked])
    return option


def check_that_each_value_matters(head, groups, cases):
    for f, values in enumerate(FACTORS):
        for v in range(1, len(values)):
            moved = 0
            for case in cases:
                if case["choice"][f] != v:
                    continue
                plain = list(case["choice"])
                plain[f] = 0
                other = evaluate(head, groups, options_of(plain))["gradient"]
                moved += (other - case["gradient"]).norm().item() > 1e-3 * other.norm().item()
            print(f"  {values[v]}: changes the gradient in {moved} cases")
            if moved == 0:
                raise SystemExit(f"{values[v]} changes nothing")


def main():
    torch.set_num_threads(1)
    rng = random.Random(20261125)
    head, groups = make_inputs(rng)
    cases = [dict(choice=choice, **evaluate(head, groups, options_of(choice)))
             for choice in [[0] * len(FACTORS)] + pairwise([len(values) for values in FACTORS], rng)]
    check_that_each_value_matters(head, groups, cases)
    for case in cases:
        case["gradient"] = [float(f"{x:.13g}") for x in case["gradient"].tolist()]
    golden = dict(factors=FACTORS, fixed=FIXED, head=head, groups=groups)
    out = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "loss_golden.json"
    text = json.dumps(golden)[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n"
    out.write_text(text)
    print(f"{len(cases)} cases, {len(text)} bytes")


if __name__ == "__main__":
    main()
