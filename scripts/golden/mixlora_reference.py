"""MixLoRA (Li et al. 2024) in double: token by token, expert by expert, each expert's maps written out.

Shapes: H hidden, E experts, k of them a token, r rank.
"""

import dataclasses

import torch

from step_reference import LINEARS, sg

MLP = LINEARS[4:]


@dataclasses.dataclass
class MixLora:
    """`parameters` by name: layers.L.router (E, H); layers.L.NAME.lora_A (r, in) and lora_B (out, r), in the MLP with E
    in front."""
    parameters: dict
    weights: dict  # the network's
    top_k: int
    scale: float
    probabilities: dict = dataclasses.field(default_factory=dict)  # of each group and layer: [(E) of a row]
    dispatches: dict = dataclasses.field(default_factory=dict)  # of each group and layer: [experts of a row]
    group: int = 0  # that the rows to come belong to
    margin: float = 1.0  # smallest gap seen between the last expert taken and the first one left out

    def product(self, layer, name, expert=None):
        a, b = (self.parameters[f"layers.{layer}.{name}.lora_{f}"] for f in "AB")
        return self.scale * (b @ a if expert is None else b[expert] @ a[expert])

    def project(self, module, x, weight):
        return x @ (weight + self.product(module // 7, LINEARS[module % 7])).T

    def expert(self, layer, e, x):
        gate, up, down = (self.weights[f"model.layers.{layer}.mlp.{name}.weight"] + self.product(layer, name, e)
                          for name in MLP)
        return down @ (torch.nn.functional.silu(gate @ x) * (up @ x))

    def token(self, layer, x, counted):
        p = (self.parameters[f"layers.{layer}.router"] @ x).softmax(0)
        order = sorted(range(len(p)), key=lambda e: -p[e].item())
        chosen = order[:self.top_k]
        if self.top_k < len(p):
            self.margin = min(self.margin, (p[chosen[-1]] - p[order[self.top_k]]).item())
        if counted:
            self.probabilities.setdefault((self.group, layer), []).append(p)
            self.dispatches.setdefault((self.group, layer), []).append(chosen)
        return sum(p[e] * self.expert(layer, e, x) for e in chosen) / sum(p[e] for e in chosen)

    def mlp(self, first_counted_row):
        return lambda layer, x: torch.stack([self.token(layer, row, t >= first_counted_row) for t, row in enumerate(x)])

    def balance_loss(self):
        """Mean over groups of the sum over layers of E sum_e f_e P_e: f_e the share of a group's dispatches to e, P_e the
        mean of its probability."""
        total = 0.0
        for key, probabilities in self.probabilities.items():
            p = torch.stack(probabilities)
            experts = p.shape[1]
            taken = [e for row in self.dispatches[key] for e in row]
            f = torch.tensor([taken.count(e) / len(taken) for e in range(experts)], dtype=torch.double)
            total = total + experts * (sg(f) * p.mean(0)).sum()
        return total / len({group for group, _ in self.probabilities})

    def load(self):
        """Share of all dispatches that each expert got."""
        taken = [e for rows in self.dispatches.values() for row in rows for e in row]
        experts = len(next(iter(self.probabilities.values()))[0])
        return [taken.count(e) / len(taken) for e in range(experts)]
