#!/usr/bin/env python3
"""Makes the steps that step_golden_test compares ours with: loss, w, gradients of every arm, and AdamW's steps.

All in double by step_reference.py, on a random Qwen3 of two layers. The inputs are numbers that a float holds, so that
both precisions read the same ones.

Writes tests/golden/step/:
  config.json, model.safetensors   the network
  tensors.safetensors              doubles, as the int64 of the same bits: the adapters (INIT/a.0, b.0, a0.0, b0.0 ...),
                                   router, directions and pairs' features, and of each case its gradients (NAME/a.0, b.0
                                   ..., u, log_scale, bias)
  golden.json
    fixed     {field of run.yaml: value} of all cases
    pairs     [{prompt, hack, clean}]
    groups    [{prompt, deploy_mode, samples: [{ids, sampler (log-probabilities), old (those of an earlier inner step),
              reward, label} or null: lost]}]
    earlier   scores of the rollouts before this step, by feature
    seed      v_act, log_scale and bias of a router that is seeded by the pairs
    cases     [{name, fields: {field of run.yaml: value}, gradients: NAME of the tensors, screened: [group, sample] or
              null, later_pass: whether `old` counts, and what came of the step; of samples null where lost}]
    mixlora   options, loss without the balance loss, its mean over layers, and each expert's share of dispatches;
              tensors mixlora/NAME and mixlora_gradient/NAME
    adamw     options, and the rate factor of each step; tensors adamw/p.0, adamw/anchor.0, adamw/0.gradient.0 ...

    scripts/golden/regenerate step      # or, with scripts/golden/requirements.txt installed, this file
"""

import json
import pathlib

import torch
from safetensors.torch import save_file

import step_reference as ref
from mixlora_reference import MLP, MixLora
from step_checks import check_reference
from step_inputs import (BETA, FIXED, HEAD_DIM, HEADS, HIDDEN, INTERMEDIATE, KV_HEADS, LAYERS, RANK, TEMPERATURE,
                         VOCABULARY, Draw, World, check, leaf, number, single)

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "step"
LEARNED = {"arm": "evil_moe"}
SPLIT, SAME = {"loss.deployed_advantage": "split"}, {"loss.deployed_advantage": "same"}
GATE = {"routing.window": 20, "routing.half_life": 6, "routing.quantiles": [0.2, 0.8]}
SHORT_GATE = {"routing.window": 16, "routing.half_life": 50, "routing.quantiles": [0.25, 0.9]}
SCOPE_ALL = {"adapter.scope": "all"}
MEAN_CENTRED = {"loss.advantage": "mean_centred"}
CASES = {
    "none": {"arm": "none"},
    "absorb": {"arm": "absorb"},
    "evil_moe": LEARNED,
    "evil_moe_scope_all": LEARNED | SCOPE_ALL,
    "evil_moe_zero_b_alpha": LEARNED | {"adapter.init": "zero_b", "adapter.alpha": 3.0},
    "evil_moe_weak_pin": LEARNED | {"router.pin_weight": 0.25},
    "evil_moe_later_pass": LEARNED | {"loss.inner_steps": 2},
    "evil_moe_later_pass_split": LEARNED | SPLIT | {"loss.inner_steps": 2},
    "evil_moe_split": LEARNED | SPLIT,
    "evil_moe_split_screened": LEARNED | SPLIT,
    "evil_moe_scope_all_split": LEARNED | SPLIT | MEAN_CENTRED | SCOPE_ALL,
    "evil_moe_no_pin": {"arm": "evil_moe_no_pin"},
    "evil_moe_random": {"arm": "evil_moe_random"},
    "evil_moe_placebo": {"arm": "evil_moe_placebo"},
    "evil_moe_hard": {"arm": "evil_moe_hard"},
    "evil_moe_hard_split": {"arm": "evil_moe_hard"} | SPLIT,
    "gradient_routing": {"arm": "gradient_routing"},
    "gradient_routing_same": {"arm": "gradient_routing"} | SAME,
    "gradient_routing_mean_centred": {"arm": "gradient_routing"} | MEAN_CENTRED,
    "gradient_routing_scope_all": {"arm": "gradient_routing"} | SCOPE_ALL,
    "sgtm": {"arm": "sgtm"},
    "sgtm_scope_all": {"arm": "sgtm"} | SCOPE_ALL,
    "sgtm_split": {"arm": "sgtm"} | SPLIT,
    "route_a": {"arm": "route_a"} | SHORT_GATE,
    "route_a_split": {"arm": "route_a"} | SHORT_GATE | SPLIT,
    "route_random": {"arm": "route_random"} | GATE,
    "route_v": {"arm": "route_v"} | SHORT_GATE,
}
SCREENED = {"evil_moe_split_screened": (3, 1)}  # of each such case, the group and the sample that a monitor screened
# Arms that differ in what they sample, or in where the router began.
SAME_STEP = {"absorb": "none", "evil_moe_random": "evil_moe", "evil_moe_placebo": "evil_moe_no_pin"}
# What a preset lays under the fields, as far as the step reads it.
PRESETS = {
    "none": {"routing.mode": "none"}, "absorb": {"routing.mode": "none"},
    "evil_moe": {"routing.mode": "learned"}, "evil_moe_random": {"routing.mode": "learned"},
    "evil_moe_no_pin": {"routing.mode": "learned", "router.pin_weight": 0.0},
    "evil_moe_placebo": {"routing.mode": "learned", "router.pin_weight": 0.0},
    "evil_moe_hard": {"routing.mode": "learned", "router.hard_detach_above": 0.5},
    "gradient_routing": {"routing.mode": "oracle_mask"} | SPLIT,
    "sgtm": {"routing.mode": "oracle_parameter"},
    "route_a": {"routing.mode": "fixed_activation"}, "route_random": {"routing.mode": "fixed_activation"},
    "route_v": {"routing.mode": "fixed_gradient"},
}
DEFAULTS = {"loss.inner_steps": 1, "router.pin_weight": 1.0, "router.hard_detach_above": None,
            "adapter.scope": "completion", "adapter.init": "random_ab", "adapter.alpha": None} | SAME


def config_of(fields):
    return DEFAULTS | PRESETS[fields["arm"]] | FIXED | fields


def adapter_of(world, config):
    stored = world.adapters[config["adapter.init"]]
    scale = 1.0 if config["adapter.alpha"] is None else config["adapter.alpha"] / RANK
    return ref.Adapter([leaf(x) for x in stored.a], [leaf(x) for x in stored.b], stored.a0, stored.b0, scale)


def route_step(world, config, adapter, router):
    """The route of each present sample, and what the decision is made of."""
    mode = config["routing.mode"]
    if mode == "none":
        return [ref.both() for _ in world.rollouts], {}
    if mode == "learned":
        w = [leaf(router.weight(h)) for h in world.features(adapter, "activation")[0]]
        return [ref.by_weight(x, config["router.hard_detach_above"], config["adapter.scope"]) for x in w], {}
    said = {}
    if mode.startswith("oracle"):
        names = {"hack": "rout", "clean": "keep", "unlabelled": "absorb"}
        masks = [names[s["label"]] for _, s in world.present]
    else:
        kind = "gradient" if mode == "fixed_gradient" else "random" if config["arm"] == "route_random" else "activation"
        scores = world.gate_scores(adapter, kind)
        options = [config[f"routing.{name}"] for name in ("window", "half_life", "quantiles")]
        masks, low, high = ref.gate(scores, world.earlier[kind], *options)
        said = dict(direction=kind, scores=scores, low=low, high=high)
        check_gate(scores, world.earlier[kind], masks, low, high)
    routes = [ref.by_mask(m, mode == "oracle_parameter", config["adapter.scope"]) for m in masks]
    return routes, said | dict(masks=masks)


def check_gate(scores, earlier, masks, low, high):
    if len(set(masks)) < 3:
        raise SystemExit(f"a gate that only says {set(masks)}: take another seed")
    spread = torch.tensor(scores).std().item()
    near = [s for s in scores + earlier for bound in (low, high) if s != bound and abs(s - bound) < 1e-4 * spread]
    if near:
        raise SystemExit(f"{near} lie too near to the thresholds {low} and {high}: take another seed")


def step_advantages(world, config, w, screened=None):
    """A and the deployed block's own, of each present sample. A screened one has 0, and no part in the statistics."""
    plain, deployed, w = [], [], iter(w)
    for group in world.groups:
        present = [(s, next(w)) for s in group["samples"] if s]
        compared = [(s["reward"], w_s) for s, w_s in present if s is not screened]
        rewards, of_compared = zip(*compared)
        for out, values in ((plain, ref.advantages(rewards, config["loss.advantage"])),
                            (deployed, ref.deployed_advantages(rewards, of_compared, config["loss.advantage"]))):
            left = iter(values)
            out += [0.0 if s is screened else next(left) for s, _ in present]
    return plain, deployed if config["loss.deployed_advantage"] == "split" else plain


def old_log_probs(world, later_pass):
    return [number(s["old"]) if later_pass else None for _, s in world.present]


def summed_gradients(world, adapter, routes, base_logp, old_logp, chosen_advantages):
    """Loss, and its gradients by A and B of each module and by each w."""
    leaves = adapter.a + adapter.b
    sums, dl_dw, loss, seen = [torch.zeros_like(x) for x in leaves], [], 0.0, []
    for rollout, route, base, old, advantage in zip(world.rollouts, routes, base_logp, old_logp, chosen_advantages):
        logp, entropy = world.scores(adapter, rollout, route)
        part = ref.sample_loss(logp, base, advantage, BETA, len(routes), old)
        wanted = leaves + ([route.w] if route.w.requires_grad else [])
        gradients = torch.autograd.grad(part, wanted, allow_unused=True)
        sums = [s if g is None else s + g for s, g in zip(sums, gradients)]
        dl_dw.append(gradients[-1].item() if route.w.requires_grad else 0.0)
        loss += part.item()
        seen.append((logp.detach(), entropy.detach()))
    return loss, sums, dl_dw, seen


def clip_fractions(seen, old_logp, advantages, clip=0.2):
    """Shares of the tokens whose ratio lies beyond the bound on the side that the advantage pushes to."""
    low, high, count = 0, 0, 0
    for (logp, _), old, advantage in zip(seen, old_logp, advantages):
        for ratio in (logp - old).exp().tolist():
            if min(abs(ratio - 1 + clip), abs(ratio - 1 - clip)) < 1e-4:
                raise SystemExit(f"a ratio of {ratio} lies at a kink: take another seed")
            low, high, count = (low + (advantage < 0 and ratio < 1 - clip), high + (advantage > 0 and ratio > 1 + clip),
                                count + 1)
    return dict(clip_low=low / count, clip_high=high / count)


def run_case(world, fields, screened):
    """`screened`: (group, sample) or None."""
    config = config_of(fields)
    adapter = adapter_of(world, config)
    router = ref.Router(*(leaf(x) for x in (world.router.u, world.router.log_scale, world.router.bias)))
    routes, said = route_step(world, config, adapter, router)
    w = [route.w.item() for route in routes]
    base_logp = [ref.token_scores(world.network, r, TEMPERATURE, ref.plain)[0] for r in world.rollouts]
    out = screened and world.groups[screened[0]]["samples"][screened[1]]
    plain, deployed = step_advantages(world, config, w, out)
    later_pass = config["loss.inner_steps"] > 1
    old_logp = old_log_probs(world, later_pass)
    loss, gradients, dl_dw, seen = summed_gradients(world, adapter, routes, base_logp, old_logp, plain)
    if deployed is not plain:  # A and B have D in front: rows of A, columns of B
        _, of_deployed, _, _ = summed_gradients(world, adapter, routes, base_logp, old_logp, deployed)
        modules = len(adapter.a)
        for m in range(modules):
            gradients[m][:RANK] = of_deployed[m][:RANK]
            gradients[modules + m][:, :RANK] = of_deployed[modules + m][:, :RANK]

    ratio = torch.cat([(logp - number(s["sampler"])).exp() for (logp, _), (_, s) in zip(seen, world.present)])
    result = dict(fields=fields, screened=screened, later_pass=later_pass, loss=loss, w=w,
                  deployed_factor=[r.deployed for r in routes],
                  advantages=plain, deployed_advantages=deployed, **said,
                  kl=torch.cat([ref.k3(logp, base) for (logp, _), base in zip(seen, base_logp)]).mean().item(),
                  entropy=torch.cat([entropy for _, entropy in seen]).mean().item(),
                  ratio_mean=ratio.mean().item(), ratio_max=ratio.max().item())
    if later_pass:
        result |= clip_fractions(seen, old_logp, plain)
    tensors = {f"a.{m}": g for m, g in enumerate(gradients[:len(adapter.a)])}
    tensors |= {f"b.{m}": g for m, g in enumerate(gradients[len(adapter.a):])}
    if config["routing.mode"] == "learned":
        if min(abs(x - 0.5) for x in w) < 1e-3:
            raise SystemExit(f"a w lies too near to 0.5, out of {w}: take another seed")
        features, hack, clean = world.features(adapter, "activation")
        pin = router.pin_loss(hack, clean)
        total = config["router.pin_weight"] * pin + sum(d * router.weight(h) for d, h in zip(dl_dw, features))
        of_router = torch.autograd.grad(total, [router.u, router.log_scale, router.bias])
        tensors |= dict(zip(("u", "log_scale", "bias"), of_router))
        separation = torch.stack([router.weight(h) - router.weight(c) for h, c in zip(hack, clean)]).mean()
        result |= dict(dl_dw=dl_dw, pin_loss=pin.item(), pair_separation=separation.item())
    return result, tensors


def run_mixlora(world):
    """A group's rows are those of its prompt once (but its last token) and of each completion."""
    draw, options = Draw(), dict(rank=RANK, experts=4, top_k=2, scale=0.5, balance_weight=0.3)
    parameters = {}
    for layer in range(LAYERS):
        parameters[f"layers.{layer}.router"] = draw.normal(options["experts"], HIDDEN, scale=0.3)
        for name in ref.LINEARS:
            group, front = ("mlp", (options["experts"],)) if name in MLP else ("self_attn", ())
            rows, columns = world.network.weights[f"model.layers.{layer}.{group}.{name}.weight"].shape
            path = f"layers.{layer}.{name}.lora_"
            parameters[path + "A"] = draw.normal(*front, RANK, columns, scale=columns ** -0.5)
            parameters[path + "B"] = draw.normal(*front, rows, RANK, scale=0.3)
    leaves = {name: leaf(single(p)) for name, p in parameters.items()}
    model = MixLora(leaves, world.network.weights, options["top_k"], options["scale"])
    loss, seen = 0.0, set()
    plain, _ = step_advantages(world, config_of({"arm": "none"}), [1.0] * len(world.rollouts))
    for (group, _), rollout, advantage in zip(world.present, world.rollouts, plain):
        base = ref.token_scores(world.network, rollout, TEMPERATURE, ref.plain)[0]
        model.group = world.groups.index(group)
        first = rollout.prompt_rows if id(group) in seen else 0
        seen.add(id(group))
        logp, _ = ref.token_scores(world.network, rollout, TEMPERATURE, model.project, mlp=model.mlp(first))
        loss = loss + ref.sample_loss(logp, base, advantage, BETA, len(world.rollouts))
    if model.margin < 1e-4:
        raise SystemExit(f"mixlora: two experts lie within {model.margin}: take another seed")
    balance = model.balance_loss()
    gradients = torch.autograd.grad(loss + options["balance_weight"] * balance, list(leaves.values()))
    tensors = {f"mixlora/{name}": p for name, p in leaves.items()}
    tensors |= {f"mixlora_gradient/{name}": g for name, g in zip(leaves, gradients)}
    print(f"mixlora: loss {loss.item():.6f}, balance {balance.item():.4f}, margin {model.margin:.2g}")
    return dict(options, loss=loss.item(), balance=balance.item() / LAYERS, load=model.load()), tensors


def run_adamw():
    draw = Draw()
    options = dict(learning_rate=0.05, beta1=0.9, beta2=0.99, epsilon=1e-8, decay=0.3)
    factors, shapes = [0.25, 1.0, 0.5], [(3, 4), (5,)]
    parameters = [draw.normal(*shape) for shape in shapes]
    gradients = [[draw.normal(*shape, scale=0.1) for shape in shapes] for _ in factors]
    rates = [options["learning_rate"] * f for f in factors]
    plain = [options[k] for k in ("beta1", "beta2", "epsilon", "decay")]
    def check_against_torch():
        theirs = [torch.nn.Parameter(p.clone()) for p in parameters]
        optimizer = torch.optim.AdamW(theirs, lr=1.0, betas=(0.9, 0.99), eps=1e-8, weight_decay=options["decay"])
        for gradient, rate in zip(gradients, rates):
            optimizer.param_groups[0]["lr"] = rate
            for p, g in zip(theirs, gradient):
                p.grad = g.clone()
            optimizer.step()
        ours = ref.adamw(parameters, [torch.zeros_like(p) for p in parameters], gradients, rates, *plain)[-1]
        check("AdamW towards 0 is torch's", max((a - b).abs().max() for a, b in zip(ours, theirs)), 1e-15)
    check_against_torch()
    anchors = [draw.normal(*shape) for shape in shapes]
    history = ref.adamw(parameters, anchors, gradients, rates, *plain)
    tensors = {f"p.{i}": p for i, p in enumerate(parameters)} | {f"anchor.{i}": p for i, p in enumerate(anchors)}
    for step, (gradient, after) in enumerate(zip(gradients, history)):
        tensors |= {f"{step}.gradient.{i}": g for i, g in enumerate(gradient)}
        tensors |= {f"{step}.p.{i}": p for i, p in enumerate(after)}
    return dict(options, factors=factors), tensors


def write_network(network):
    config = {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "torch_dtype": "float32",
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "intermediate_size": INTERMEDIATE, "hidden_act": "silu",
        "rope_theta": network.rope_theta, "rope_scaling": None, "rms_norm_eps": network.eps,
        "tie_word_embeddings": True,
        "attention_bias": False, "attention_dropout": 0.0, "use_sliding_window": False, "sliding_window": None,
        "max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 1}
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file({name: w.float().contiguous() for name, w in network.weights.items()}, OUT / "model.safetensors",
              metadata={"format": "pt"})
    (OUT / "model.safetensors").chmod(0o644)


def check_that_cases_differ(gradients):
    """Else a field of one of them does nothing, and a mistake in it would show nowhere."""
    for i, one in enumerate(gradients):
        for other in list(gradients)[:i]:
            parts = gradients[one].keys() & gradients[other].keys()
            if max((gradients[one][p] - gradients[other][p]).norm() / gradients[other][p].norm() for p in parts) < 1e-3:
                raise SystemExit(f"{one} and {other} give the same gradients")


def check_groups(world, w):
    """The deployed block sees less than one sample of some group, and more of another whose rewards differ."""
    w = iter(w)
    seen = [sum(1 - next(w) for sample in group["samples"] if sample) for group in world.groups]
    if not min(seen) < 0.95 or not max(seen[0], seen[1], seen[3]) > 1.05 or min(abs(s - 1) for s in seen) < 0.01:
        raise SystemExit(f"the deployed block sees {seen} samples of the groups: take another seed")


def check_that_gates_matter(world, cases):
    """Each field of a gate changes what some case decides."""
    for name, other in (("window", 10 ** 6), ("half_life", 1e9), ("quantiles", [0.1, 0.8]), ("quantiles", [0.2, 0.9])):
        moved = 0
        for case in (case for case in cases if "scores" in case):
            options = {key: case["fields"][f"routing.{key}"] for key in ("window", "half_life", "quantiles")}
            masks, _, _ = ref.gate([s for s in case["scores"] if s is not None], world.earlier[case["direction"]],
                                   **(options | {name: other}))
            moved += masks != [mask for mask in case["masks"] if mask]
        print(f"  routing.{name} {other}: other decisions in {moved} cases")
        if moved == 0:
            raise SystemExit(f"routing.{name} decides nothing: take another seed")


def in_order(world, values):
    """One a sample of the step, null where it was lost."""
    values = iter(values)
    return [next(values) if sample else None for group in world.groups for sample in group["samples"]]


def main():
    torch.set_num_threads(1)
    world = World()
    check_reference(world, adapter_of(world, DEFAULTS))
    tensors = {}
    for init, adapter in world.adapters.items():
        for part in ("a", "b", "a0", "b0"):
            tensors |= {f"{init}/{part}.{m}": x for m, x in enumerate(getattr(adapter, part))}
    tensors |= {f"router/{part}": getattr(world.router, part) for part in ("u", "log_scale", "bias")}
    tensors |= {f"direction/{kind}": v for kind, v in world.directions.items()}
    tensors |= {f"pairs/{side}": h for side, h in world.pair_features.items()}
    cases, of_cases = [], {}
    for name, fields in CASES.items():
        result, gradients = run_case(world, fields, SCREENED.get(name))
        by_present = dict(result)
        for key in ("w", "deployed_factor", "advantages", "deployed_advantages", "masks", "scores", "dl_dw"):
            if key in result:
                result[key] = in_order(world, result[key])
        cases.append(dict(name=name, gradients=SAME_STEP.get(name, name), **result))
        if name not in SAME_STEP:
            of_cases[name] = gradients
            tensors |= {f"{name}/{part}": g for part, g in gradients.items()}
        elif any((g - of_cases[SAME_STEP[name]][part]).abs().max() > 0 for part, g in gradients.items()):
            raise SystemExit(f"{name} is not the same step as {SAME_STEP[name]}")
        if name == "evil_moe_split":
            check_groups(world, by_present["w"])
        print(f"{name}: loss {result['loss']:.6f}, kl {result['kl']:.3f}, w {[w and round(w, 2) for w in result['w']]}")
    check_that_cases_differ(of_cases)
    check_that_gates_matter(world, cases)
    mixlora, mixlora_tensors = run_mixlora(world)
    tensors |= mixlora_tensors
    adamw, adamw_tensors = run_adamw()
    tensors |= {f"adamw/{part}": x for part, x in adamw_tensors.items()}
    golden = dict(fixed=FIXED, pairs=world.pairs, groups=world.groups, earlier=world.earlier,
                  seed=world.seeded_router(), mixlora=mixlora, adamw=adamw)
    write_network(world.network)
    save_file({name: x.detach().contiguous().view(torch.int64) for name, x in tensors.items()},
              OUT / "tensors.safetensors", metadata={"dtype": "float64 as the int64 of the same bits"})
    (OUT / "tensors.safetensors").chmod(0o644)
    text = json.dumps(golden)[:-1] + ', "cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]}\n"
    (OUT / "golden.json").write_text(text)
    print(f"{len(cases)} cases, {sum(f.stat().st_size for f in OUT.iterdir())} bytes")


if __name__ == "__main__":
    main()
