"""What must hold of step_reference.py itself, by finite differences and by the invariants of the design."""

import torch

import step_reference as ref
from step_inputs import BETA, HEAD_DIM, HEADS, HIDDEN, RANK, TEMPERATURE, Draw, check, leaf, number


def check_reference(world, adapter):
    rollout = world.rollouts[0]
    base = ref.token_scores(world.network, rollout, TEMPERATURE, ref.plain)[0]
    at_init = ref.Adapter(adapter.a0, adapter.b0, adapter.a0, adapter.b0)
    logp = world.scores(at_init, rollout, ref.both())[0]
    check("identity at init", (logp - base).abs().max(), 1e-12)
    check_ends(world, adapter, rollout, base)
    check_one_layer(adapter)
    for bound, scope in ((None, "completion"), (0.5, "completion"), (None, "all")):
        check_dl_dw(world, adapter, rollout, base, bound, scope)
    check_differences(world, adapter, rollout, base)


def check_ends(world, adapter, rollout, base):
    """w = 0 gives Q no gradient and D one; w = 1 the other way round."""
    d, q = slice(0, RANK), slice(RANK, 2 * RANK)
    for w, silent, trained in ((0.0, q, d), (1.0, d, q)):
        route = ref.by_weight(leaf(number(w)))
        loss = ref.sample_loss(world.scores(adapter, rollout, route)[0], base, 0.7, BETA, 1)
        gradients = torch.autograd.grad(loss, adapter.a)
        check(f"w = {w:g}: the other block's gradient", max(g[silent].abs().max() for g in gradients), 0.0)
        if min(g[trained].abs().max() for g in gradients) < 1e-6:
            raise SystemExit(f"w = {w:g}: a block that should learn has no gradient")


def check_one_layer(adapter):
    x, upstream = Draw().normal(3, HIDDEN), Draw().normal(3, HEADS * HEAD_DIM)
    def gradients(route):
        return torch.autograd.grad((route.combine(adapter, 0, x) * upstream).sum(), adapter.a[0])[0]
    unrouted, routed = gradients(ref.both()), gradients(ref.by_weight(number(0.3)))
    want = torch.cat([0.7 * unrouted[:RANK], 0.3 * unrouted[RANK:]])
    check("one layer: D gets 1 - w and Q gets w", (routed - want).norm() / want.norm(), 1e-12)
    w = leaf(number(0.3))
    dep, quar = adapter.dep(0, x), adapter.quar(0, x)
    literal = (1 - w) * dep + w * ref.sg(dep) + w * quar
    got = torch.autograd.grad((literal * upstream).sum(), w)[0]
    check("one layer: dL/dw = <quar, dL/dout>", (got - (quar * upstream).sum()).abs(), 1e-12)


def check_dl_dw(world, adapter, rollout, base, bound, scope):
    """Against a central difference of the step with what is barred held where it is."""
    w0, frozen = 0.63, {}
    def loss(w, old_logp=None):
        route = ref.by_weight(w, bound, scope, bar=lambda m, dep: frozen.setdefault(m, ref.sg(dep)), w_bar=w0)
        logp = world.scores(adapter, rollout, route)[0]
        return ref.sample_loss(logp, base, 0.7, BETA, 1, old_logp), ref.sg(logp)
    w = leaf(number(w0))
    at_w, old_logp = loss(w)
    got = torch.autograd.grad(at_w, w)[0].item()
    h = 1e-5
    with torch.no_grad():
        high, low = (loss(number(w0 + s * h), old_logp)[0].item() for s in (1, -1))
    want = (high - low) / (2 * h)
    check(f"dL/dw, hard detach {bound}, scope {scope}, by differences", abs(got - want) / abs(want), 1e-7)


def check_differences(world, adapter, rollout, base):
    """Without any bar the gradients of A and B are those of differences."""
    old_logp = ref.sg(world.scores(adapter, rollout, ref.both())[0])
    def loss():
        return ref.sample_loss(world.scores(adapter, rollout, ref.both())[0], base, 0.7, BETA, 1, old_logp)
    for m, name in enumerate(ref.LINEARS):
        for factor in (adapter.a[m], adapter.b[m]):
            got = torch.autograd.grad(loss(), factor)[0][1, 1].item()
            with torch.no_grad():
                sides = []
                for step in (1e-5, -2e-5):
                    factor[1, 1] += step
                    sides.append(loss().item())
                factor[1, 1] += 1e-5
            want = (sides[0] - sides[1]) / 2e-5
            if abs(got - want) > 1e-7 * abs(want) + 1e-10:
                raise SystemExit(f"{name}: gradient {got}, by differences {want}")
