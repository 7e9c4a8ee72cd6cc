"""LSTMs and their kin, from the papers' equations."""

from __future__ import annotations

import numpy as np

from tests.cells.papers import Given, Vector, norm, paper, sig


def lstm_from(g: Given, a: dict[str, Vector], c: Vector) -> tuple[Vector, Vector]:
    """h and c of the standard cell from its four pre-activations."""
    c = sig(a["f"]) * c + sig(a["i"]) * np.tanh(a["g"])
    return sig(a["o"]) * np.tanh(c), c


def four(g: Given, h: Vector) -> dict[str, Vector]:
    return {k: g.pre(k, h) for k in "ifgo"}


@paper
def lstm(g: Given):
    return lstm_from(g, four(g, g.s["h"]), g.s["c"])


@paper
def lstm1997(g: Given):
    h, c = g.s["h"], g.s["c"]
    c = c + sig(g.pre("i", h)) * np.tanh(g.pre("g", h))
    return sig(g.pre("o", h)) * np.tanh(c), c


@paper
def peephole_lstm(g: Given):
    h, c = g.s["h"], g.s["c"]
    i, f = (sig(g.pre(k, h) + g.w[f"p.{k}"] * c) for k in "if")
    c = f * c + i * np.tanh(g.pre("g", h))
    return sig(g.pre("o", h) + g.w["p.o"] * c) * np.tanh(c), c


@paper
def cifg(g: Given):
    a = four(g, g.s["h"]) if "x.i" in g.w else {k: g.pre(k, g.s["h"]) for k in "fgo"}
    return lstm_from(g, a | {"i": -a["f"]}, g.s["c"])  # sigmoid(-a) = 1 - sigmoid(a)


@paper
def lstmp(g: Given):
    c = g.s["c"]
    h, c = lstm_from(g, four(g, g.s["h"]), c)
    return g.w["V.h"] @ h, c


@paper
def multiplicative_lstm(g: Given):
    m = g.wx("m") * g.at("U.m", g.s["h"])
    return lstm_from(g, four(g, m), g.s["c"])


@paper
def indy_lstm(g: Given):
    return lstm_from(g, {k: g.wx(k) + g.w[f"u.{k}"] * g.s["h"] for k in "ifgo"}, g.s["c"])


@paper
def mi_lstm(g: Given):
    def meet(k: str) -> Vector:
        wx, uh = g.wx(k), g.at(f"U.{k}", g.s["h"])
        return g.w[f"alpha.{k}"] * wx * uh + g.w[f"beta1.{k}"] * uh + g.w[f"beta2.{k}"] * wx

    return lstm_from(g, {k: meet(k) for k in "ifgo"}, g.s["c"])


@paper
def layer_norm_lstm(g: Given):
    def a(k: str) -> Vector:
        wx, uh, gain, shift = g.wx(k), g.at(f"U.{k}", g.s["h"]), g.w[f"gain_h.{k}"], g.w[f"shift.{k}"]
        return (
            norm(wx + uh, gain, shift)
            if g.o.placement == "sum"
            else norm(wx, g.w[f"gain_x.{k}"]) + norm(uh, gain, shift)
        )

    c = sig(a("f")) * g.s["c"] + sig(a("i")) * np.tanh(a("g"))
    return sig(a("o")) * np.tanh(norm(c, g.w["gain_c.c"], g.w["shift.c"])), c


@paper
def on_lstm(g: Given):
    def cumax(v: Vector) -> Vector:
        e = np.exp(v)
        return np.array([e[: k + 1].sum() / e.sum() for k in range(len(v))])

    h, c, C = g.s["h"], g.s["c"], g.o.chunk
    f_ = np.repeat(cumax(g.wx("mf") + g.at("M.mf", h)), C)
    i_ = np.repeat(1 - cumax(g.wx("mi") + g.at("M.mi", h)), C)
    w = f_ * i_
    f, i = sig(g.pre("f", h)) * w + (f_ - w), sig(g.pre("i", h)) * w + (i_ - w)
    c = f * c + i * np.tanh(g.pre("g", h))
    return sig(g.pre("o", h)) * np.tanh(c), c


@paper
def mogrifier_lstm(g: Given):
    def full(name: str, k: int) -> Vector:
        return g.w[f"{name}.r{k}"] @ g.w[f"{name}r.r{k}"] if g.o.rank else g.w[f"{name}.r{k}"]

    x, h = g.x, g.s["h"]
    for k in range(1, g.o.rounds + 1):
        if k % 2 == 1:
            x = 2 * sig(full("Q", k) @ h) * x
        else:
            h = 2 * sig(full("R", k) @ x) * h
    return lstm_from(g, {k: g.at(f"W.{k}", x) + g.at(f"U.{k}", h) for k in "ifgo"}, g.s["c"])


@paper
def hyper_lstm(g: Given):
    w, h, hh = g.w, g.s["h"], g.s["hh"]
    small = {k: norm(g.wx(k) + g.at(f"S.{k}", h) + g.at(f"V.{k}", hh), w[f"small.{k}"]) for k in "ifgo"}
    hc = sig(small["f"] + 1) * g.s["hc"] + sig(small["i"]) * np.tanh(small["g"])
    hh = sig(small["o"]) * np.tanh(norm(hc, w["small.c"]))

    def main(k: str) -> Vector:
        z_h, z_x, z_b = g.at(f"A.h_{k}", hh), g.at(f"A.x_{k}", hh), w[f"Ab.{k}"] @ hh
        scaled = (w[f"D.h_{k}"] @ z_h) * (w[f"U.{k}"] @ h) + (w[f"D.x_{k}"] @ z_x) * (w[f"W.{k}"] @ g.x)
        return norm(scaled + g.at(f"Db.{k}", z_b), w[f"gain.{k}"])

    c = sig(main("f") + 1) * g.s["c"] + sig(main("i")) * np.tanh(main("g"))
    return sig(main("o")) * np.tanh(norm(c, w["gain.c"])), c, hh, hc


@paper
def nested_lstm(g: Given):
    h, c, inner = g.s["h"], g.s["c"], g.s["m"]
    x_in, h_in = sig(g.pre("i", h)) * np.tanh(g.pre("g", h)), sig(g.pre("f", h)) * c
    c, inner = lstm_from(g, {k: g.at(f"W.{k}", x_in) + g.at(f"V.{k}", h_in) for k in "ifgo"}, inner)
    return sig(g.pre("o", h)) * np.tanh(c), c, inner


@paper
def ur_lstm(g: Given):
    h, c, b = g.s["h"], g.s["c"], g.w["b.f"]
    f = sig(g.w["W.f"] @ g.x + g.w["V.f"] @ h + b)
    r = sig(g.w["W.r"] @ g.x + g.w["V.r"] @ h - b)
    keep = r * (1 - (1 - f) ** 2) + (1 - r) * f**2
    c = keep * c + (1 - keep) * np.tanh(g.pre("u", h))
    return sig(g.pre("o", h)) * np.tanh(c), c


@paper
def quaternion_lstm(g: Given):
    def hamilton(name: str, v: Vector) -> Vector:
        (r, i, j, k), (a, b, c, d) = np.split(g.w[name], 4), np.split(v, 4)
        parts = (r @ a - i @ b - j @ c - k @ d, r @ b + i @ a + j @ d - k @ c)
        parts += (r @ c - i @ d + j @ a + k @ b, r @ d + i @ c - j @ b + k @ a)
        return np.concatenate(parts) + g.w[f"bias.{name}"]

    return lstm_from(g, {k: hamilton(f"W.{k}", g.x) + hamilton(f"U.{k}", g.s["h"]) for k in "ifgo"}, g.s["c"])


@paper
def fuzzy_lstm(g: Given):
    def gate(k: str) -> Vector:
        a, q = g.pre(k, g.s["h"]), sig(g.w[f"mix.{k}"])
        delta = np.log1p(np.exp(g.w[f"width.{k}"]))
        return q * sig(a + delta) + (1 - q) * sig(a - delta)

    c = gate("f") * g.s["c"] + gate("i") * np.tanh(g.pre("g", g.s["h"]))
    return gate("o") * np.tanh(c), c


@paper
def nas(g: Given):
    relu, h = lambda v: np.maximum(v, 0), g.s["h"]
    l0, l2, l5, l7 = (sig(g.pre(k, h)) for k in "adgl")
    l1, l4, l6 = relu(g.pre("b", h)), np.tanh(g.pre("f", h)), np.tanh(g.pre("k", h))
    l3 = relu(g.wx("e") * g.at("U.e", h))
    c = np.tanh(np.tanh(l0 * l1) + g.s["c"]) * np.tanh(l2 + l3)
    return np.tanh(c * np.tanh(np.tanh(l4 * l5) + sig(l6 + l7))), c


@paper
def ran(g: Given):
    c = sig(g.pre("i", g.s["h"])) * g.wx("g") + sig(g.pre("f", g.s["h"])) * g.s["c"]
    return np.tanh(c), c
