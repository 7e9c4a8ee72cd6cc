"""Differential equations, clocks, skips, memories and linear recurrences, from the papers' equations."""

from __future__ import annotations

import math

import numpy as np

from tests.cells.papers import Given, Vector, paper, sig


@paper
def lem(g: Given):
    y, z, dt = g.s["y"], g.s["z"], g.o.dt
    dt_bar, dt_t = dt * sig(g.pre("a", y)), dt * sig(g.pre("b", y))
    z = (1 - dt_t) * z + dt_t * np.tanh(g.pre("z", y))
    return (1 - dt_bar) * y + dt_bar * np.tanh(g.pre("y", z)), z


@paper
def co_rnn(g: Given):
    y, z, o = g.s["y"], g.s["z"], g.o
    acceleration = np.tanh(g.wx("a") + g.at("U.y", y) + g.at("U.z", z)) - o.gamma * y - o.epsilon * z
    z = z + o.dt * acceleration
    return y + o.dt * z, z


@paper
def unicornn(g: Given):
    y, z = g.s["y"], g.s["z"]
    dt = g.o.dt * (0.5 + 0.5 * np.tanh(g.w["c.dt"] / 2))
    z = z - dt * (np.tanh(g.w["w.y"] * y + g.wx("a")) + g.o.alpha * y)
    return y + dt * z, z


@paper
def antisymmetric_rnn(g: Given):
    V, h = g.w["U.h"], g.s["h"]
    a = (V - V.T - g.o.gamma * np.eye(len(h))) @ h + g.w["bias.U.h"]
    return (h + g.o.epsilon * np.tanh(a + g.wx("h")),)


@paper
def gated_antisymmetric_rnn(g: Given):
    V, h = g.w["U.h"], g.s["h"]
    a = (V - V.T - g.o.gamma * np.eye(len(h))) @ h
    return (h + g.o.epsilon * sig(a + g.wx("z")) * np.tanh(a + g.wx("h")),)


@paper
def cfc(g: Given):
    b = 1.7159 * np.tanh(0.666666666666666666 * g.pre("b", g.s["h"]))
    f, first, second = g.at("V.f", b), np.tanh(g.at("V.g", b)), np.tanh(g.at("V.k", b))
    gate = sig(-f * g.e["dt"])
    return (gate * first + (1 - gate) * second,)


@paper
def ltc(g: Given):
    h, tau, dt = g.s["h"], np.log1p(np.exp(g.w["p.tau"])), g.e["dt"] / g.o.unfolds
    for _ in range(g.o.unfolds):
        f = sig(g.pre("f", h))
        h = (h + dt * f * g.w["p.a"]) / (1 + dt * (1 / tau + f))
    return (h,)


@paper
def lmu(g: Given):
    w, h, m = g.w, g.s["h"], g.s["m"]
    u = w["ex.u"] @ g.x + w["eh.u"] @ h + w["em.u"] @ m
    m = w["A.m"] @ m + w["B.m"] * u
    return np.tanh(g.pre("h", h) + w["M.m"] @ m), m


@paper
def t_lstm(g: Given):
    h, c = g.s["h"], g.s["c"]
    short = np.tanh(g.at("D.c", c))
    c = (c - short) + short * (1 / math.log(math.e + g.e["dt"][0]))
    c = sig(g.pre("f", h)) * c + sig(g.pre("i", h)) * np.tanh(g.pre("g", h))
    return sig(g.pre("o", h)) * np.tanh(c), c


@paper
def phased_lstm(g: Given):
    h, c, w = g.s["h"], g.s["c"], g.w
    tau, ratio = np.abs(w["k.tau"]), np.abs(w["k.ratio"])
    phi = np.mod(g.e["t"] - w["k.shift"], tau) / tau
    k = np.select([phi < ratio / 2, phi < ratio], [2 * phi / ratio, 2 - 2 * phi / ratio], g.o.leak * phi)
    i, f = (sig(g.pre(n, h) + w[f"p.{n}"] * c) for n in "if")
    c_ = f * c + i * np.tanh(g.pre("g", h))
    h_ = sig(g.pre("o", h) + w["p.o"] * c_) * np.tanh(c_)
    return k * h_ + (1 - k) * h, k * c_ + (1 - k) * c


@paper
def clockwork(g: Given):
    h, H, t = g.s["h"], len(g.s["h"]), int(g.e["t"][0])
    new = h.copy()
    group = [unit * g.o.groups // H for unit in range(H)]
    for unit in range(H):
        if t % 2 ** group[unit] == 0:
            slower = np.array([group[other] >= group[unit] for other in range(H)])
            a = g.wx("a")[unit] + g.w["U.a"][unit][slower] @ h[slower] + g.w["bias.U.a"][unit]
            new[unit] = np.tanh(a)
    return (new,)


@paper
def skip_lstm(g: Given):
    h, c, increment, due = g.s["h"], g.s["c"], 1 - g.s["rest"], g.s["due"]
    due = due + np.minimum(increment, 1 - due)
    if due[0] <= 0.5:
        return h, c, g.s["rest"], due
    c = sig(g.pre("f", h)) * c + sig(g.pre("i", h)) * np.tanh(g.pre("g", h))
    return sig(g.pre("o", h)) * np.tanh(c), c, 1 - sig(g.at("P.c", c)), 0 * due


def hm_layer(g: Given, k: int, h_below: Vector, below: float) -> tuple[Vector, Vector, Vector]:
    s, top = g.s, k == g.o.layers
    h, c, flush = s[f"h{k}"], s[f"c{k}"], s[f"z{k}"][0] == 1

    def pre(gate: str) -> Vector:
        of = "Mz." if gate == "z" else "M."
        a = g.at(f"{of}own{k}_{gate}", h)
        a = a + (g.wx(gate) if k == 1 else below * g.at(f"{of}below{k}_{gate}", h_below))
        return a if top else a + s[f"z{k}"] * g.at(f"{of}above{k}_{gate}", s[f"h{k + 1}"])

    z = (np.clip((g.o.slope * pre("z") + 1) / 2, 0, 1) > 0.5).astype(float)
    if not flush and below == 0:
        return h, c, z
    c = sig(pre("i")) * np.tanh(pre("g")) + (0 if flush else sig(pre("f")) * c)
    return sig(pre("o")) * np.tanh(c), c, z


@paper
def hm_lstm(g: Given):
    L, new = range(1, g.o.layers + 1), {}
    for k in L:
        h, c, z = hm_layer(g, k, new.get(f"h{k - 1}", g.x), new.get(f"z{k - 1}", [1.0])[0])
        new |= {f"h{k}": h, f"c{k}": c, f"z{k}": z}
    weights = {k: sig(sum(g.w[f"G.to{k}_from{j}"] @ new[f"h{j}"] for j in L)) for k in L}
    y = sum(weights[k] * (g.w[f"E.layer{k}"] @ new[f"h{k}"]) for k in L)
    return np.maximum(y, 0), *new.values()


@paper
def mc_lstm(g: Given):
    c = g.s["c"]
    share = c / (np.abs(c).sum() + 1e-5)
    i, o = np.exp(g.pre("i", share)), sig(g.pre("o", share))
    R = np.exp(g.w["R.c"])
    total = (R / R.sum(0)) @ c + i / i.sum() * g.e["mass"]
    return o * total, (1 - o) * total


@paper
def ind_rnn(g: Given):
    return (np.maximum(g.wx("a") + g.w["u.a"] * g.s["h"], 0),)


@paper
def sru(g: Given):
    c = g.s["c"]
    v_f, v_r = (g.w["p.f"], g.w["p.r"]) if g.o.v else (0.0, 0.0)
    f, r = sig(g.wx("f") + v_f * c), sig(g.wx("r") + v_r * c)
    c = f * c + (1 - f) * g.wx("z")
    return r * c + (1 - r) * (g.wx("k") if g.o.project else g.x) * g.o.alpha, c


@paper
def min_gru(g: Given):
    z = sig(g.wx("z"))
    return ((1 - z) * g.s["h"] + z * g.wx("n"),)


@paper
def min_lstm(g: Given):
    f, i = sig(g.wx("f")), sig(g.wx("i"))
    return (f / (f + i) * g.s["h"] + i / (f + i) * g.wx("n"),)


@paper
def rg_lru(g: Given):
    a = sig(-g.w["decay.a"]) ** (g.o.c * sig(g.wx("r")))
    return (a * g.s["h"] + np.sqrt(1 - a**2) * sig(g.wx("i")) * g.wx("v"),)
