"""Hierarchical multiscale LSTM: layers that find their own boundaries."""

from torch import relu, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix
from gatework.cells.rows import straight_through


class HMLSTM(Cell):
    """`layers` coupled layers in one step; boundaries z say copy, update or flush.  y is the paper's output module.

    Boundaries are 0 or 1 with straight-through gradients; raise `slope` from 1 to 5 while training.

    Source: Chung, Ahn & Bengio, arXiv:1609.01704 (2016), eq. 1-8 and 11-12.
    """

    name = "hm-lstm"
    gates = "i", "f", "g", "o", "z"
    layers: int = 2
    slope: float = 1.0

    def declare(self):
        L = range(1, self.layers + 1)
        maps = [*(f"own{k}" for k in L), *(f"above{k}" for k in L[:-1]), *(f"below{k}" for k in L[1:])]
        return {
            "state": ("y", *(f"{v}{k}" for k in L for v in "hcz")),
            "sizes": {"x.z": 1} | {f"s.z{k}": 1 for k in L},
            "M": matrix(*(f"{m}_{gate}" for m in maps for gate in "ifgo")),
            "Mz": matrix(*(f"{m}_z" for m in maps), rows=1),
            "E": matrix(*(f"layer{k}" for k in L), bias=False),
            "G": matrix(*(f"to{k}_from{j}" for k in L for j in L), rows=1, bias=False),
        }

    def layer(self, k, x, s, M, Mz, h_below, z_below):
        """New h, c, z of layer k from its old ones, the old h above and the new h and z below."""
        h, c, z = (s[f"{v}{k}"] for v in "hcz")

        def pre(gate):
            Q = Mz if gate == "z" else M
            below = x[gate] if k == 1 else z_below * (Q[f"below{k}_{gate}"] @ h_below)
            above = z * (Q[f"above{k}_{gate}"] @ s[f"h{k + 1}"]) if k < self.layers else 0
            return Q[f"own{k}_{gate}"] @ h + above + below

        write, copy = sigmoid(pre("i")) * self.drop(tanh(pre("g"))), (1 - z) * (1 - z_below)
        soft = ((self.slope * pre("z") + 1) / 2).clamp(0, 1)
        c_new = z * write + (1 - z) * z_below * (sigmoid(pre("f")) * c + write) + copy * c
        h_new = copy * h + (1 - copy) * (sigmoid(pre("o")) * tanh(c_new))
        return h_new, c_new, straight_through((soft > 0.5).to(soft.dtype), soft)

    def step(self, x, s, M, Mz, E, G):
        L, h, z, new = range(1, self.layers + 1), None, 1, []
        for k in L:
            h, c, z = self.layer(k, x, s, M, Mz, h, z)
            new += [h, c, z]
        gates = [sigmoid(sum(G[f"to{k}_from{j}"] @ new[3 * j - 3] for j in L)) for k in L]
        return relu(sum(g * (E[f"layer{k}"] @ new[3 * k - 3]) for g, k in zip(gates, L, strict=True))), *new
