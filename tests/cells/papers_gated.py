"""Gated cells with one state and their kin, from the papers' equations."""

from __future__ import annotations

import numpy as np

from tests.cells.papers import Given, Vector, paper, sig


def relu(v: Vector) -> Vector:
    return np.maximum(v, 0)


def towards(h: Vector, new: Vector, gate: Vector) -> tuple[Vector]:
    """(1 - gate) h + gate new."""
    return (h + gate * (new - h),)


@paper
def rnn(g: Given):
    return ((relu if g.o.nonlinearity == "relu" else np.tanh)(g.pre("a", g.s["h"])),)


@paper
def irnn(g: Given):
    return (relu(g.pre("a", g.s["h"])),)


@paper
def gru(g: Given):
    h = g.s["h"]
    r, z = sig(g.pre("r", h)), sig(g.pre("z", h))
    return towards(h, np.tanh(g.wx("n") + r * g.at("U.n", h)), 1 - z)


@paper
def gru_reset_before(g: Given):
    h = g.s["h"]
    r, z = sig(g.pre("r", h)), sig(g.pre("z", h))
    return towards(h, np.tanh(g.pre("n", r * h)), 1 - z)


@paper
def augru(g: Given):
    h = g.s["h"]
    r, u = sig(g.pre("r", h)), sig(g.pre("z", h))
    return towards(h, np.tanh(g.wx("n") + r * g.at("U.n", h)), g.e["a"] * u)


@paper
def mgu(g: Given):
    f = sig(g.pre("f", g.s["h"]))
    return towards(g.s["h"], np.tanh(g.pre("n", f * g.s["h"])), f)


@paper
def janet(g: Given):
    s = g.pre("f", g.s["h"])
    return (sig(s) * g.s["h"] + (1 - sig(s - g.o.beta)) * np.tanh(g.pre("g", g.s["h"])),)


@paper
def mut1(g: Given):
    h = g.s["h"]
    r = sig(g.pre("r", h))
    return towards(h, np.tanh(g.at("U.n", r * h) + np.tanh(g.wx("n"))), sig(g.wx("z")))


@paper
def mut2(g: Given):
    h = g.s["h"]
    return towards(h, np.tanh(g.pre("n", sig(g.pre("r", h)) * h)), sig(g.pre("z", h)))


@paper
def mut3(g: Given):
    h = g.s["h"]
    return towards(h, np.tanh(g.pre("n", sig(g.pre("r", h)) * h)), sig(g.pre("z", np.tanh(h))))


@paper
def minimal_rnn(g: Given):
    z = np.tanh(g.wx("z"))
    return towards(g.s["h"], z, 1 - sig(g.at("U.h", g.s["h"]) + g.at("U.z", z)))


@paper
def li_gru(g: Given):
    return towards(g.s["h"], relu(g.pre("n", g.s["h"])), 1 - sig(g.pre("z", g.s["h"])))


@paper
def ugrnn(g: Given):
    return towards(g.s["h"], np.tanh(g.pre("c", g.s["h"])), 1 - sig(g.pre("g", g.s["h"])))


@paper
def intersection_rnn(g: Given):
    h = g.s["h"]
    y = towards(relu(g.pre("y", h)), g.wx("k"), sig(g.pre("gy", h)))
    return *y, *towards(np.tanh(g.pre("h", h)), h, sig(g.pre("gh", h)))


@paper
def star(g: Given):
    return (np.tanh(*towards(g.s["h"], np.tanh(g.wx("z")), sig(g.pre("k", g.s["h"])))),)


@paper
def cfn(g: Given):
    h = g.s["h"]
    return (sig(g.pre("f", h)) * np.tanh(h) + sig(g.pre("i", h)) * np.tanh(g.wx("g")),)


@paper
def atr(g: Given):
    p, q = g.wx("p"), g.at("U.p", g.s["h"])
    return (sig(p + q) * p + sig(p - q) * g.s["h"],)


@paper
def brc(g: Given):
    h = g.s["h"]
    a, c = 1 + np.tanh(g.wx("a") + g.w["w.a"] * h), sig(g.wx("c") + g.w["w.c"] * h)
    return towards(h, np.tanh(g.wx("h") + a * h), 1 - c)


@paper
def nbrc(g: Given):
    h = g.s["h"]
    a, c = 1 + np.tanh(g.pre("a", h)), sig(g.pre("c", h))
    return towards(h, np.tanh(g.wx("h") + a * h), 1 - c)


@paper
def fast_rnn(g: Given):
    alpha, beta = sig(g.w["p.alpha"]), sig(g.w["p.beta"])
    return (alpha * np.tanh(g.pre("a", g.s["h"])) + beta * g.s["h"],)


@paper
def fast_grnn(g: Given):
    z, n = sig(g.pre("a", g.s["h"]) + g.w["b.z"]), np.tanh(g.pre("a", g.s["h"]) + g.w["b.n"])
    return ((sig(g.w["p.zeta"]) * (1 - z) + sig(g.w["p.nu"])) * n + z * g.s["h"],)


@paper
def delta_rnn(g: Given):
    e, v, w = g.wx("a"), g.at("U.a", g.s["h"]), g.w
    z = np.tanh(w["p.both"] * v * e + w["p.state"] * v + w["p.input"] * e + w["b.z"])
    return (np.tanh(*towards(z, g.s["h"], sig(e + w["b.r"]))),)


@paper
def scrn(g: Given):
    s = 0.05 * g.wx("s") + 0.95 * g.s["s"]
    return sig(g.at("P.s", s) + g.pre("h", g.s["h"])), s


@paper
def recurrent_highway(g: Given):
    s = g.s["h"]
    for layer in range(g.o.depth):
        first = float(layer == 0)
        h = np.tanh(first * g.wx("h") + g.at(f"U.h{layer}", s))
        t = sig(first * g.wx("t") + g.at(f"U.t{layer}", s))
        s = h * t + s * (1 - t)
    return (s,)


@paper
def gru_d(g: Given):
    w, m, gap = g.w, g.e["mask"], g.e["gap"]
    gamma_x = np.exp(-np.maximum(0, w["d.scale"] * gap + w["d.shift"]))
    gamma_h = np.exp(-np.maximum(0, g.at("D.h", gap)))
    x = np.array([
        g.x[k] if m[k] == 1 else gamma_x[k] * g.s["last"][k] + (1 - gamma_x[k]) * w["mean.x"][k] for k in range(len(m))
    ])  # fmt: skip
    h = gamma_h * g.s["h"]
    r, z = (sig(g.at(f"W.{k}", x) + g.at(f"U.{k}", h) + w[f"V.{k}"] @ m) for k in "rz")
    n = np.tanh(g.at("W.n", x) + g.at("U.n", r * h) + w["V.n"] @ m)
    return *towards(h, n, z), np.where(m == 1, g.x, g.s["last"])
