"""The elementary functions of vector.h over wide ranges and special values, against NumPy in higher precision."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
import torch

from gatework.compiler import build
from gatework.compiler.render.cpp import skeleton

FUNCTIONS = ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "sqrt", "abs")
REALS = {torch.float32: np.float32, torch.float64: np.float64}
INF, NAN = float("inf"), float("nan")
# Units in the last place that a result may be off; measured: at most 2.6 (float32) and 2.3 (float64).
UNITS = 4


@pytest.fixture(scope="module", params=REALS, ids=["float32", "float64"])
def functions(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """The functions on NumPy arrays of one dtype."""
    folder = tmp_path_factory.mktemp("vectors")
    calls = "\n".join(
        f'extern "C" void on_{name}(long n, const real* x, real* y) {{'
        f" for (long i = 0; i < n; i += L) store(y + i, v{name}(load(x + i))); }}"
        for name in FUNCTIONS
    )
    (folder / "functions.cpp").write_text(f"{skeleton()['vector.h']}\n{calls}\n")
    arguments = build.command(request.param, "-shared", "functions.cpp", "-o", "functions.so")
    subprocess.run([build.compiler() or "c++", *arguments], cwd=folder, check=True)
    library, real = ctypes.CDLL(str(folder / "functions.so")), REALS[request.param]

    def call(name: str, x) -> np.ndarray:
        x = np.asarray(x, dtype=real)
        padded = np.zeros(-(-x.size // 16) * 16, dtype=real)
        padded[: x.size] = x
        y = np.full_like(padded, NAN)
        getattr(library, f"on_{name}")(ctypes.c_long(padded.size), padded.ctypes, y.ctypes)
        return y[: x.size]

    call.real = real
    return call


def truth(name: str, x: np.ndarray) -> np.ndarray:
    x = x.astype(np.longdouble)
    with np.errstate(all="ignore"):
        return {"sigmoid": lambda v: 1 / (1 + np.exp(-v)), "abs": np.abs}.get(name, getattr(np, name, None))(x)


def grid(real, low: float, high: float) -> np.ndarray:
    """Numbers of every magnitude between the bounds, of both signs where they allow."""
    steps = np.linspace(low, high, 200_001)
    small = np.geomspace(1e-30 if real == np.float32 else 1e-280, max(abs(low), abs(high)), 50_001)
    both = np.concatenate([steps, small, -small])
    return both[(both >= low) & (both <= high)].astype(real)


RANGES = {
    "exp": {np.float32: (-86.9, 88.2), np.float64: (-707.9, 709.3)},
    "expm1": {np.float32: (-100, 88.2), np.float64: (-800, 709.3)},
    "log": {np.float32: (1e-37, 1e38), np.float64: (1e-307, 1e308)},
    "log1p": {np.float32: (-0.9999, 1e30), np.float64: (-0.999999, 1e300)},
    "tanh": {np.float32: (-100, 100), np.float64: (-100, 100)},
    "sigmoid": {np.float32: (-86, 100), np.float64: (-700, 800)},
    "sqrt": {np.float32: (0, 1e38), np.float64: (0, 1e300)},
    "abs": {np.float32: (-1e38, 1e38), np.float64: (-1e300, 1e300)},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(functions, name: str):
    x = grid(functions.real, *RANGES[name][functions.real])
    expected, found = truth(name, x), functions(name, x)
    unit = np.maximum(np.abs(expected) * np.finfo(functions.real).eps, np.finfo(functions.real).tiny)
    off = np.abs(found.astype(np.longdouble) - expected) / unit
    worst = int(np.argmax(np.where(np.isnan(off), np.inf, off)))
    assert off[worst] <= UNITS, f"{name}({x[worst]!r}) is {found[worst]!r}, off by {off[worst]:.1f} units"


SPECIAL = {
    "exp": {0.0: 1, 1e5: INF, -1e5: 0, INF: INF, -INF: 0, NAN: NAN},
    "expm1": {0.0: 0, 1e5: INF, -1e5: -1, INF: INF, -INF: -1, NAN: NAN},
    "log": {1.0: 0, 0.0: -INF, -1.0: NAN, INF: INF, -INF: NAN, NAN: NAN},
    "log1p": {0.0: 0, -1.0: -INF, -2.0: NAN, INF: INF, -INF: NAN, NAN: NAN},
    "tanh": {0.0: 0, 1e5: 1, -1e5: -1, INF: 1, -INF: -1, NAN: NAN},
    "sigmoid": {0.0: 0.5, 1e5: 1, INF: 1, NAN: NAN},
    "sqrt": {0.0: 0, 4.0: 2, -1.0: NAN, INF: INF, NAN: NAN},
    "abs": {-0.0: 0, -INF: INF, INF: INF, NAN: NAN},
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(functions, name: str):
    x = list(SPECIAL[name])
    np.testing.assert_array_equal(functions(name, x), np.array(list(SPECIAL[name].values()), dtype=functions.real))


def test_sigmoid_far_out_is_practically_zero(functions):
    found = functions("sigmoid", [-1e5, -INF])
    assert (found >= 0).all() and (found < np.finfo(functions.real).tiny * 1e4).all()


@pytest.mark.parametrize("name", ["tanh", "expm1", "log1p"])
def test_signs_and_tiny_numbers(functions, name: str):
    """Odd near zero: f(x) = x to the last place, the sign of zero included."""
    x = np.array([1e-30, -1e-30, 1e-12, -1e-12, 0.0], dtype=functions.real)
    np.testing.assert_allclose(functions(name, x), x, rtol=1e-6)
    if name == "tanh":
        assert np.signbit(functions(name, [-0.0]))[0]


def test_subnormal_numbers(functions):
    """A logarithm of a subnormal number is right; an exponential that would be one may be zero."""
    tiny = np.array([np.finfo(functions.real).smallest_subnormal, np.finfo(functions.real).tiny / 3], functions.real)
    np.testing.assert_allclose(
        functions("log", tiny), np.log(tiny.astype(np.longdouble)).astype(functions.real), rtol=1e-6
    )
    assert (functions("exp", [-740.0, -1000.0]) <= np.finfo(functions.real).tiny * 2).all()


@pytest.mark.parametrize("name", ["exp", "expm1"])
def test_right_up_to_the_largest_finite_result(functions, name: str):
    last = np.log(np.longdouble(np.finfo(functions.real).max)).astype(functions.real)
    x = np.array([last - functions.real(1e-3), last - functions.real(0.3), last + functions.real(1e-3)], functions.real)
    found = functions(name, x)
    expected = truth(name, x[:2])
    # an argument's own rounding is worth |x| units of the result
    np.testing.assert_allclose(found[:2].astype(np.longdouble), expected, rtol=4 * float(np.finfo(functions.real).eps))
    assert found[2] == INF
