"""Cells whose papers can be written for a whole sequence at once, in another form than a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.cells.papers import SEQUENCES, Vector, norm, sig

Weights = dict[str, Vector]


def qrnn(w: Weights, x: Vector, o: Any) -> Vector:
    """A masked convolution over time with zeros before the start, then fo-pooling."""

    def convolved(gate: str) -> Vector:
        total = np.zeros((len(x), len(w["bias.z"])))
        for lag in range(o.window):
            name = f"{gate}{lag or ''}"
            total[lag:] += x[: len(x) - lag] @ w[f"x.{name}"].T + w[f"bias.{name}"]
        return total

    Z, F, O = np.tanh(convolved("z")), sig(convolved("f")), sig(convolved("o"))  # noqa: E741
    C = np.zeros_like(Z)
    for t in range(len(x)):
        C[t] = F[t] * (C[t - 1] if t else 0) + (1 - F[t]) * Z[t]
    return O * C


def slstm(w: Weights, x: Vector, o: Any) -> Vector:
    """Equations 8 to 14 without the stabiliser, which must not change h."""
    H = len(w["bias.z"])
    h = c = n = np.zeros(H)
    y = []

    def recurrent(gate: str) -> Vector:
        d = H // o.heads
        blocks = [w[f"U.{gate}"][k * d : (k + 1) * d] @ h[k * d : (k + 1) * d] for k in range(o.heads)]
        return np.concatenate(blocks) + w[f"bias.U.{gate}"]

    for xt in x:
        i, f, z, out = (w[f"x.{k}"] @ xt + w[f"bias.{k}"] + recurrent(k) for k in "ifzo")
        c = sig(f) * c + np.exp(i) * np.tanh(z)
        n = sig(f) * n + np.exp(i)
        h = sig(out) * c / n
        parts = zip(np.split(h, o.heads), np.split(w["gain.y"], o.heads), strict=True) if o.head_norm else ()
        y.append(np.concatenate([norm(part, gain) for part, gain in parts]) if o.head_norm else h)
    return np.array(y)


SEQUENCES |= {"qrnn": qrnn, "slstm": slstm}
