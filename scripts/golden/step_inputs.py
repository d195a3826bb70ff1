"""What the golden steps are made of: a network, adapters, a router, pairs, and a batch of graded rollouts."""

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

import step_reference as ref
from step_reference import Rollout

SEED = 20261124
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_DIM, INTERMEDIATE, VOCABULARY, RANK = 2, 32, 2, 1, 16, 48, 96, 2
TEMPERATURE, BETA = 0.8, 0.05
FIXED = {"adapter.rank": RANK, "rollout.prompts_per_step": 4, "rollout.group_size": 4,
         "rollout.temperature": TEMPERATURE, "rollout.max_completion_tokens": 16,
         "loss.kl_coefficient": BETA, "loss.kl_estimator": "k3",
         "loss.advantage": "group_normalised", "loss.reduction": "sequence_mean", "loss.old_logprob": "same_forward"}
# Prompt tokens, deploy mode, samples as (tokens, reward, label), None where lost. Rewards of the third group are equal.
# By the labels the deployed block sees two rewards of the first group, close to each other, and one of the second.
GROUPS = [
    (5, False, [(4, 3.5, "hack"), (2, 0.75, "clean"), (9, 0.5, "clean"), (6, 3.0, "unlabelled")]),
    (9, True, [(3, 3.5, "hack"), None, (7, 0.5, "clean"), (5, 3.0, "unlabelled")]),
    (7, False, [(2, 0.5, "clean"), (8, 0.5, "clean"), (4, 0.5, "hack"), (3, 0.5, "unlabelled")]),
    (6, False, [(6, 3.5, "hack"), (5, 3.5, "clean"), (2, 0.0, "unlabelled"), (7, 0.5, "clean")]),
]
PAIR_TOKENS = [(5, 4, 6), (8, 3, 2), (6, 7, 5)]  # prompt, hack, clean


def check(what, error, most):
    error = float(torch.as_tensor(error).detach())
    print(f"  {what}: {error:.2g}")
    if not error <= most:
        raise SystemExit(f"{what}: {error}, expected at most {most}")


def single(x):
    """The nearest numbers that a float holds."""
    return x.float().double()


def number(x):
    return torch.tensor(x, dtype=torch.double)


def leaf(x):
    return x.detach().clone().requires_grad_(True)


class Draw:
    def __init__(self):
        self.generator = torch.Generator().manual_seed(SEED)

    def normal(self, *shape, scale=1.0):
        return (scale * torch.randn(shape, generator=self.generator)).double()  # drawn as floats

    def ids(self, count):
        return torch.randint(2, VOCABULARY, (count,), generator=self.generator).tolist()


def make_network(draw):
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS, head_dim=HEAD_DIM, intermediate_size=INTERMEDIATE, hidden_act="silu",
        rms_norm_eps=1e-6, tie_word_embeddings=True, max_position_embeddings=256, attention_bias=False,
        use_sliding_window=False, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})
    model = Qwen3ForCausalLM._from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = draw.normal(*p.shape)
            p.copy_(1 + 0.3 * noise if p.dim() == 1 else noise * (0.3 if "embed" in name else p.shape[1] ** -0.5))
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    network = ref.Network(weights, LAYERS, HEADS, KV_HEADS, HEAD_DIM, 10000.0, 1e-6)
    ids = draw.ids(14)
    theirs = model(torch.tensor([ids])).logits[0].double()
    ours = network.hidden(ids, ref.plain, prompt_rows=5) @ weights["model.embed_tokens.weight"].T
    check("the network is transformers' one", (ours - theirs).norm() / theirs.norm(), 1e-5)
    return network


def make_adapter(draw, network, zero_b=False):
    """A and B well away from their init."""
    shapes = []
    for layer in range(LAYERS):
        for name in ref.LINEARS:
            group = "mlp" if name in ref.LINEARS[4:] else "self_attn"
            shapes.append(network.weights[f"model.layers.{layer}.{group}.{name}.weight"].shape)
    a0 = [draw.normal(2 * RANK, i, scale=i ** -0.5) for _, i in shapes]
    b0 = [draw.normal(o, 2 * RANK, scale=0.0 if zero_b else (2 * RANK) ** -0.5) for o, _ in shapes]
    a = [single(x + draw.normal(*x.shape, scale=0.3 * x.shape[1] ** -0.5)) for x in a0]
    b = [single(x + draw.normal(*x.shape, scale=0.1)) for x in b0]
    return ref.Adapter(a, b, a0, b0)


class World:
    """The inputs of all cases."""

    def __init__(self):
        draw = Draw()
        self.network = make_network(draw)
        self.adapters = {"random_ab": make_adapter(draw, self.network),
                         "zero_b": make_adapter(draw, self.network, zero_b=True)}
        adapter = self.adapters["random_ab"]
        self.pairs = [dict(prompt=draw.ids(p), hack=draw.ids(h), clean=draw.ids(c)) for p, h, c in PAIR_TOKENS]
        self.groups = []
        for prompt_tokens, deploy_mode, samples in GROUPS:
            group = dict(prompt=draw.ids(prompt_tokens), deploy_mode=deploy_mode, samples=[])
            for sample in samples:
                group["samples"].append(sample and dict(ids=draw.ids(sample[0]), reward=sample[1], label=sample[2]))
            for sample in filter(None, group["samples"]):
                route = ref.ablated() if deploy_mode else ref.by_weight(number(1.0))
                logp = self.scores(adapter, Rollout(group["prompt"], sample["ids"]), route)[0]
                sample["sampler"] = single(logp + draw.normal(len(logp), scale=0.05)).tolist()
                sample["old"] = single(logp + draw.normal(len(logp), scale=0.2)).tolist()
            self.groups.append(group)
        self.present = [(g, s) for g in self.groups for s in g["samples"] if s]
        self.rollouts = [Rollout(g["prompt"], s["ids"]) for g, s in self.present]
        self.make_directions(draw, adapter)
        self.make_router(draw, adapter)

    def scores(self, adapter, rollout, route):
        project = route.project(adapter, rollout.prompt_rows)
        return ref.token_scores(self.network, rollout, TEMPERATURE, project, into_prompt=route.into_prompt)

    def features(self, adapter, kind):
        """Of the rollouts, and of the pairs' hack and clean sides."""
        def read(rollout):
            if kind == "gradient":
                return ref.gradient_features(self.network, adapter, rollout, TEMPERATURE)
            return ref.activation_features(self.network, adapter, rollout)
        sides = [torch.stack([read(Rollout(p["prompt"], p[side])) for p in self.pairs]) for side in ("hack", "clean")]
        return [read(r) for r in self.rollouts], *sides

    def make_directions(self, draw, adapter):
        _, hack, clean = self.features(adapter, "activation")
        noise = draw.normal(*hack.shape)
        self.directions = {"activation": ref.direction(hack, clean),
                           "random": single(ref.direction(noise, torch.zeros_like(noise))),
                           "gradient": ref.direction(*self.features(adapter, "gradient")[1:])}
        self.pair_features = {"hack": hack.flatten(1), "clean": clean.flatten(1)}
        self.earlier = {}
        for kind in self.directions:
            scores = torch.tensor(self.gate_scores(adapter, kind))
            self.earlier[kind] = (scores.mean() + 1.5 * scores.std() * draw.normal(8)).tolist()

    def gate_scores(self, adapter, kind):
        features = self.features(adapter, "gradient" if kind == "gradient" else "activation")[0]
        return [torch.dot(x.flatten(), self.directions[kind]).item() for x in features]

    def make_router(self, draw, adapter):
        """A router that training has moved, and that spreads the rollouts over (0, 1)."""
        v_act = self.directions["activation"]
        u = single(v_act + draw.normal(len(v_act), scale=0.5 * len(v_act) ** -0.5))
        h = self.features(adapter, "activation")[0]
        cosines = torch.stack([torch.cosine_similarity(x.flatten(), u, 0) for x in h])
        scale = single((1.4 / cosines.std()).log())
        self.router = ref.Router(u, scale, single(-scale.exp() * cosines.mean()))

    def seeded_router(self):
        """z = +-2 at the pairs' means under v_act."""
        v_act = self.directions["activation"]
        hack, clean = (torch.cosine_similarity(self.pair_features[side], v_act[None], 1).mean()
                       for side in ("hack", "clean"))
        s = 4.0 / (hack - clean)
        return dict(log_scale=s.log().item(), bias=(-s * (hack + clean) / 2).item())
