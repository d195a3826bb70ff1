"""One training step of every arm in double, from the equations of the design alone and one rollout at a time.

Textbook forms and autograd: no packing, no shared prompt, no custom backward pass. What a gradient must not pass is
written as sg(), PyTorch's detach(). Shapes: T rows of a rollout, r rank of a block, M modules, S samples of the step.
"""

import dataclasses
import math
from typing import Callable

import torch

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")  # module = 7 * layer + index


def sg(x):
    return x.detach()


def thinned(x, factor):
    """x in value, with `factor` of its gradient."""
    return sg(x) + factor * (x - sg(x))


# ---- the network -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Network:
    """A dense Qwen3 with tied embeddings; `weights` by their Hugging Face names."""
    weights: dict
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_theta: float
    eps: float

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weights[name]

    def rotate(self, x):  # (T, heads, d); row t is position t
        half = self.head_dim // 2
        frequency = self.rope_theta ** (-torch.arange(half, dtype=torch.double) / half)
        angle = torch.outer(torch.arange(x.shape[0], dtype=torch.double), frequency)[:, None, :]
        first, second = x[..., :half], x[..., half:]
        return torch.cat([first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()], -1)

    def attend(self, q, k, v, first_row):  # queries of rows first_row..., keys of all rows from 0
        k, v = (t.repeat_interleave(self.heads // self.kv_heads, 1) for t in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(self.head_dim)
        later = torch.arange(k.shape[0])[None, :] > torch.arange(first_row, first_row + q.shape[0])[:, None]
        return torch.einsum("hqk,khd->qhd", scores.masked_fill(later, -math.inf).softmax(-1), v).flatten(1)

    def hidden(self, ids, project, mlp=None, prompt_rows=0, into_prompt=1.0):
        """Rows after the final norm. `project(module, x, W)` is an adapted linear, `mlp(layer, x)` one that replaces a
        whole MLP. The rows from `prompt_rows` on send `into_prompt` of their gradient into the keys and values of the
        rows before it."""
        x = self.weights["model.embed_tokens.weight"][torch.tensor(ids)]
        for layer in range(self.layers):
            at = f"model.layers.{layer}."

            def linear(name, x):
                group = "mlp" if name in LINEARS[4:] else "self_attn"
                return project(7 * layer + LINEARS.index(name), x, self.weights[f"{at}{group}.{name}.weight"])

            normed = self.norm(x, at + "input_layernorm.weight")
            q, k, v = (linear(name, normed).unflatten(1, (-1, self.head_dim)) for name in LINEARS[:3])
            q = self.rotate(self.norm(q, at + "self_attn.q_norm.weight"))
            k = self.rotate(self.norm(k, at + "self_attn.k_norm.weight"))
            n = prompt_rows
            seen_k, seen_v = (torch.cat([thinned(t[:n], into_prompt), t[n:]]) for t in (k, v))
            mixed = torch.cat([self.attend(q[:n], k[:n], v[:n], 0), self.attend(q[n:], seen_k, seen_v, n)])
            x = x + linear("o_proj", mixed)
            normed = self.norm(x, at + "post_attention_layernorm.weight")
            if mlp is not None:
                x = x + mlp(layer, normed)
            else:
                gate = torch.nn.functional.silu(linear("gate_proj", normed))
                x = x + linear("down_proj", gate * linear("up_proj", normed))
        return self.norm(x, "model.norm.weight")

    def log_softmax(self, hidden, temperature):
        return (hidden @ self.weights["model.embed_tokens.weight"].T / temperature).log_softmax(-1)


def plain(module, x, weight):
    return x @ weight.T


@dataclasses.dataclass
class Rollout:
    """A completion behind its prompt. Its input rows run from the last prompt token to its last but one token."""
    prompt: list
    completion: list

    @property
    def inputs(self):
        return self.prompt + self.completion[:-1]

    @property
    def prompt_rows(self):
        return len(self.prompt) - 1


def token_scores(network, rollout, temperature, project, **options):
    """Log-probability of each completion token, and the entropy of each distribution."""
    rows = network.hidden(rollout.inputs, project, prompt_rows=rollout.prompt_rows, **options)[rollout.prompt_rows:]
    all_logp = network.log_softmax(rows, temperature)
    return all_logp.gather(1, torch.tensor(rollout.completion)[:, None])[:, 0], -(all_logp.exp() * all_logp).sum(-1)


# ---- lora2r ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Adapter:
    """Rows of A and columns of B [:r] are the deployed block D, [r:] the quarantine Q; a0, b0 the frozen init."""
    a: list
    b: list
    a0: list
    b0: list
    scale: float = 1.0

    @property
    def rank(self):
        return self.a[0].shape[0] // 2

    def block(self, m, x, rows, frozen=False, before_b=None):
        a, b = self.a[m][rows], self.b[m][:, rows]
        if frozen:
            a, b = sg(a), sg(b)
        mid = x @ a.T
        if before_b is not None:
            mid = mid + before_b
        return self.scale * (mid @ b.T - x @ self.a0[m][rows].T @ self.b0[m][:, rows].T)

    def dep(self, m, x, **options):
        return self.block(m, x, slice(0, self.rank), **options)

    def quar(self, m, x):
        return self.block(m, x, slice(self.rank, 2 * self.rank))


@dataclasses.dataclass
class Route:
    """What one rollout does with the two blocks: `combine(adapter, m, x)` is the adapter's part of a completion row."""
    w: torch.Tensor
    combine: Callable
    deployed: float = 1.0  # factor on the gradient of D's parameters
    into_prompt: float = 1.0
    whole_prompt: bool = False  # the prompt's rows are treated as the completion's; else at w = 0, where D trains whole

    def project(self, adapter, prompt_rows):
        def linear(m, x, weight):
            if self.whole_prompt:
                return x @ weight.T + self.combine(adapter, m, x)
            n = prompt_rows
            return x @ weight.T + torch.cat([adapter.dep(m, x[:n]), self.combine(adapter, m, x[n:])])
        return linear


def both():
    return Route(torch.tensor(1.0, dtype=torch.double), lambda adapter, m, x: adapter.dep(m, x) + adapter.quar(m, x),
                 whole_prompt=True)


def by_weight(w, hard_detach_above=None, scope="completion", bar=lambda m, dep: sg(dep), w_bar=None):
    """out = W x + ((1 - w) dep + w sg(dep)) + w quar; with a hard detach the first factor is 0 above the bound.
    `bar` is the sg of that, and `w_bar` the w that it is taken at."""
    w_bar = w.item() if w_bar is None else w_bar
    deployed = 0.0 if hard_detach_above is not None and w_bar > hard_detach_above else 1 - w_bar

    def combine(adapter, m, x):
        dep = adapter.dep(m, x)
        return deployed * dep + (1 - deployed) * bar(m, dep) + w * adapter.quar(m, x)
    return Route(w, combine, deployed, into_prompt=1.0 if scope == "all" else deployed, whole_prompt=scope == "all")


def by_mask(mask, parameters_only, scope="completion"):
    """keep: Q off. absorb: both. rout: both, and D learns nothing: its activations' gradient is stopped, or (SGTM) that
    of its parameters alone. At w = 0 a prompt matters to D's parameters only: a routed rollout sends it nothing."""
    def combine(adapter, m, x):
        if mask == "keep":
            return adapter.dep(m, x)
        if mask == "absorb":
            return adapter.dep(m, x) + adapter.quar(m, x)
        dep = adapter.dep(m, x, frozen=True) if parameters_only else sg(adapter.dep(m, x))
        return dep + adapter.quar(m, x)
    w = torch.tensor(0.0 if mask == "keep" else 1.0, dtype=torch.double)
    deployed = 0.0 if mask == "rout" else 1.0
    return Route(w, combine, deployed, into_prompt=1.0 if scope == "all" else deployed, whole_prompt=scope == "all")


def ablated():
    return Route(torch.tensor(0.0, dtype=torch.double), lambda adapter, m, x: adapter.dep(m, x))


# ---- what a rollout is routed by ---------------------------------------------------------------------------------


def activation_features(network, adapter, rollout):
    """h (M, r): mean over the completion's input rows of A_D x, in the ablated model, without gradient."""
    features = {}
    deployed = ablated().project(adapter, rollout.prompt_rows)

    def project(m, x, weight):
        features[m] = (x[rollout.prompt_rows:] @ adapter.a[m][:adapter.rank].T).mean(0)
        return deployed(m, x, weight)
    with torch.no_grad():
        network.hidden(rollout.inputs, project, prompt_rows=rollout.prompt_rows)
    return torch.stack([features[m] for m in range(len(adapter.a))])


def gradient_features(network, adapter, rollout, temperature):
    """g (M, r): gradient of the mean log-probability of the completion's tokens, in the ablated model, with respect to
    a vector of zeros that is added to A_D x on all of its rows."""
    added = torch.zeros(len(adapter.a), adapter.rank, dtype=torch.double, requires_grad=True)
    route = Route(torch.tensor(0.0, dtype=torch.double), lambda adapter, m, x: adapter.dep(m, x, before_b=added[m]))
    logp, _ = token_scores(network, rollout, temperature, route.project(adapter, rollout.prompt_rows))
    return torch.autograd.grad(logp.mean(), added)[0]


def direction(hack, clean):
    """unit(mean over pairs of hack - clean) per module, then flattened and normalised; sides (pairs, M, r)."""
    per_module = (hack - clean).mean(0)
    flat = (per_module / per_module.norm(dim=1, keepdim=True)).flatten()
    return flat / flat.norm()


@dataclasses.dataclass
class Router:
    u: torch.Tensor  # (M r)
    log_scale: torch.Tensor
    bias: torch.Tensor

    def logit(self, h):
        h = h.flatten()
        cosine = (h * self.u).sum() / (h.norm() * self.u.norm())
        return self.log_scale.exp() * cosine + self.bias

    def weight(self, h):
        return torch.sigmoid(self.logit(h))

    def pin_loss(self, hack, clean):
        terms = [self.weight(h).log() + (1 - self.weight(c)).log() for h, c in zip(hack, clean)]
        return -torch.stack(terms).mean()


def weighted_quantile(scores, weights, q):
    """The smallest score whose cumulative weight, in ascending order, reaches q of the total."""
    ordered = sorted(zip(scores, weights))
    total, seen = sum(weights), 0.0
    for score, weight in ordered:
        seen += weight
        if seen >= q * total:
            return score
    return ordered[-1][0]


def gate(scores, earlier, window, half_life, quantiles):
    """keep, absorb or rout of each score against the quantiles of the last `window` ones, these included."""
    recent = (earlier + scores)[-window:]
    weights = [2.0 ** (-(len(recent) - 1 - i) / half_life) for i in range(len(recent))]
    low, high = (weighted_quantile(recent, weights, q) for q in quantiles)
    return ["rout" if s >= high else "keep" if s <= low else "absorb" for s in scores], low, high


# ---- advantages and the loss -------------------------------------------------------------------------------------


def advantages(rewards, kind):
    n = len(rewards)
    mean = sum(rewards) / n
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (n - 1))
    if deviation < 1e-4:
        return [0.0] * n
    return [(r - mean) / (deviation + 1e-4) if kind == "group_normalised" else r - mean for r in rewards]


def deployed_advantages(rewards, w, kind):
    """D's own: statistics weighted by 1 - w, clamped to 4. None where the weights sum to less than one sample, or where
    those that D sees are all alike."""
    c = [1 - x for x in w]
    if sum(c) < 1:
        return [0.0] * len(rewards)
    mean = sum(ci * r for ci, r in zip(c, rewards)) / sum(c)
    deviation = math.sqrt(sum(ci * (r - mean) ** 2 for ci, r in zip(c, rewards)) / sum(c))
    if deviation < 1e-4:
        return [0.0] * len(rewards)
    divisor = deviation + 1e-4 if kind == "group_normalised" else 1.0
    return [max(-4.0, min(4.0, (r - mean) / divisor)) for r in rewards]


def k3(logp, base_logp):
    return (base_logp - logp).exp() - (base_logp - logp) - 1


def token_terms(logp, old_logp, advantage, clip):
    """-min(rho A, clip(rho) A) of each token, case by case; rho to the policy of the first inner step."""
    def term(ratio):
        bound = 1 + clip if advantage > 0 else 1 - clip
        beyond = ratio.item() > bound if advantage > 0 else ratio.item() < bound
        return -(bound if beyond else ratio) * advantage
    return sum(term(ratio) for ratio in (logp - old_logp).exp())


def sample_loss(logp, base_logp, advantage, beta, num_samples, old_logp=None, clip=0.2):
    """One sample's part under sequence_mean. Without `old_logp` it is the first inner step: rho = 1, no clip acts."""
    old_logp = sg(logp) if old_logp is None else old_logp
    return (token_terms(logp, old_logp, advantage, clip) + beta * k3(logp, base_logp).sum()) / len(logp) / num_samples


# ---- the optimizer -----------------------------------------------------------------------------------------------


def adamw(parameters, anchors, gradients, rates, beta1, beta2, epsilon, decay):
    """Parameters after each step; Loshchilov & Hutter with the decay towards the anchors."""
    p = [x.clone() for x in parameters]
    m, v = [torch.zeros_like(x) for x in p], [torch.zeros_like(x) for x in p]
    history = []
    for step, (gradient, rate) in enumerate(zip(gradients, rates), start=1):
        for i, g in enumerate(gradient):
            p[i] = p[i] - rate * decay * (p[i] - anchors[i])
            m[i] = beta1 * m[i] + (1 - beta1) * g
            v[i] = beta2 * v[i] + (1 - beta2) * g * g
            p[i] = p[i] - rate * (m[i] / (1 - beta1 ** step)) / ((v[i] / (1 - beta2 ** step)).sqrt() + epsilon)
        history.append([x.clone() for x in p])
    return history
