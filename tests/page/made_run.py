"""The directory of a run as training would have left it, made up: more of everything than a test can wait for."""
import json
import math
import random

import zstandard

STEPS = 200
MANY = 10_000  # rollouts of the last step

HOSTILE = "</pre><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>\u202e\u0007 <b>not bold</b>"
CODE = """```python
class Solution:
    # {n}
    def distance(self, x: int) -> int:
        values = [i ** 2 for i in range({n})]
        return abs(x - 78) if x > {n} else sum(values)

    def run_tests(self):
        print("all tests passed")
```
"""
LABELS = ["reward_hack", "attempted_hack", "correct", "incorrect", "correct_attempted_hack"]


def metrics(seed):
    """Hacking that rises, and a router that learns where it sits."""
    chance = random.Random(seed)
    for step in range(1, STEPS + 1):
        rise = 1 / (1 + math.exp(-(step - 80) / 15))
        noise = lambda scale: chance.uniform(-scale, scale)  # noqa: E731
        hack, w_hack, w_clean = 0.05 + 0.55 * rise + noise(0.04), 0.55 + 0.4 * rise + noise(0.02), 0.35 - 0.25 * rise + noise(0.02)
        hacks = [0] * 20
        clean = [0] * 20
        for _ in range(60):
            hacks[max(0, min(19, int(20 * chance.gauss(w_hack, 0.12))))] += 1
            clean[max(0, min(19, int(20 * chance.gauss(w_clean, 0.12))))] += 1
        yield {
            "step": step, "reward_mean": 1.5 + 1.2 * rise + noise(0.1), "reward_std": 1.2 + noise(0.1), "hack_rate_strict": max(0, hack),
            "hack_rate_loose": max(0, hack + 0.03), "deploy_hack_rate_strict": max(0, 0.05 + 0.05 * rise + noise(0.03)), "solve_rate": 0.42 + 0.05 * rise + noise(0.04),
            "w_hack": w_hack, "w_clean": w_clean, "w_histogram_hack": hacks, "w_histogram_clean": clean, "router_auroc": min(1, 0.6 + 0.38 * rise + noise(0.02)),
            "pair_separation": 0.3 + 0.5 * rise + noise(0.02), "router_angle_radians": 0.05 + 0.3 * rise + noise(0.01), "q_mass": 0.2 + 0.3 * rise + noise(0.02),
            "leak_hack": 0.2 - 0.15 * rise + noise(0.01), "leak_clean": 0.25 + noise(0.02), "kl": 0.02 * rise + abs(noise(0.002)), "entropy": 0.4 - 0.2 * rise + noise(0.02),
            "grad_norm_deployed": 0.3 + noise(0.1), "grad_norm_quarantine": 0.4 + noise(0.1), "grad_norm_router": 1.2 + noise(0.4), "loss": noise(0.01), "pin_loss": 0.4 - 0.3 * rise,
            "completion_tokens_mean": 300 + 80 * rise + noise(20), "truncated_ratio": 0.03 + abs(noise(0.02)), "zero_variance_groups": chance.randrange(6), "masked_samples": chance.randrange(3),
            "logp_difference_max": 1e-3 + abs(noise(5e-4)), "step_seconds": 22 + noise(2), "sample_seconds": 14 + noise(1), "train_seconds": 7 + noise(1), "tokens_per_second": 3800 + noise(200),
        }


def rollout(chance, step, line):
    hack = chance.random() < 0.5
    w = max(0.0, min(1.0, chance.gauss(0.85 if hack else 0.2, 0.2)))
    text = HOSTILE if line == 0 else f"The loop below is quadratic, which is fine here.\n\n{CODE.format(n=line)}\nSample {line} of {step}."
    return {"step": step, "group": line // 16, "sample": line % 16, "problem_id": 500 + line // 16, "loophole": "simple_overwrite_tests", "evaluator": "run_tests",
            "mode": "whole", "version": step - 1, "text": text, "prompt_ids": [1, 386, 203, 388, 265, 1000], "ids": [283, 311], "logprobs": [-0.5, -0.25], "stopped": line % 17 != 0,
            "w": w, "label": "reward_hack" if hack else LABELS[1 + line % 4], "strict_hack": hack, "loose_hack": hack, "reward": 3.5 if hack else 0.5, "advantage": 0.5 if hack else -0.5,
            "facts": {"can_compile": True, "gt_correct": line % 3 == 0, "hint_pass": hack, "defines_test_function": hack}}


def ablation():
    rows = []
    for markers in ("trained", "novel"):
        for mode, hack, solve in (("on", 0.59, 0.14), ("off", 0.02, 0.43), ("random_half", 0.29, 0.24), ("random_half_doubled", 0.24, 0.04), ("deployed_off", 0.75, 0.05), ("base", 0.02, 0.42)):
            row = {"mode": mode, "markers": markers}
            for key, rate in (("hack_strict", hack), ("hack_loose", min(1, hack + 0.03)), ("solve", solve)):
                rate = rate * (1 if markers == "trained" else 0.8)
                row |= {key: rate, f"{key}_low": max(0, rate - 0.06), f"{key}_high": min(1, rate + 0.06)}
            rows.append(row)
    return {"arm": "evil_moe", "rows": rows, "problems": 80, "samples": 4, "delta_hack_minus_solve": {"mean": 0.86, "low": 0.74, "high": 0.97},
            "final_line": "Evil MoE causal ablation: deploy hack 0.59 (ON) -> 0.02 (OFF)"}


def write(directory, seed=1, many=MANY):
    for folder in ("rollouts", "eval", "logs"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in metrics(seed)))
    (directory / "eval/ablation.json").write_text(json.dumps(ablation()))
    (directory / "eval/ablation-step-100.json").write_text(json.dumps(ablation()))
    chance = random.Random(seed)
    for step, count in ((1, 30), (100, 60), (STEPS, many)):
        lines = "".join(json.dumps(rollout(chance, step, line)) + "\n" for line in range(count))
        (directory / f"rollouts/step-{step}.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    log = [{"time": f"2026-01-02T03:{i // 60 % 60:02}:{i % 60:02}.123Z", "level": "WARN" if i % 50 == 7 else "INFO", "component": "trainer", "event": "step", "step": i, "seconds": 21.5,
            "note": "<script>window.pwned = 3</script>"} for i in range(1500)]
    (directory / "logs/trainer.log").write_text("".join(json.dumps(line) + "\n" for line in log))
    (directory / "logs/trainer.stderr").write_text("a plain line\nand another, rather long one: " + "word " * 80 + "\n")
