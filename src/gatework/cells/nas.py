"""The cell found by neural architecture search."""

from torch import relu, sigmoid, tanh

from gatework.cells.cell import Cell


class NAS(Cell):
    """A searched tree of additions and products; note the product, not the sum, under the second rectifier.

    Source: Zoph & Le, arXiv:1611.01578 (2016), appendix A.
    """

    state = "h", "c"
    gates = "a", "b", "d", "e", "f", "g", "k", "l"

    def step(self, x, s, U):
        a = sigmoid(x.a + U.a @ s.h)
        b = relu(x.b + U.b @ s.h)
        d = sigmoid(x.d + U.d @ s.h)
        e = relu(x.e * (U.e @ s.h))
        f = tanh(x.f + U.f @ s.h)
        g = sigmoid(x.g + U.g @ s.h)
        k = tanh(x.k + U.k @ s.h)
        l = sigmoid(x.l + U.l @ s.h)  # noqa: E741
        c = tanh(tanh(a * b) + s.c) * tanh(d + e)
        return tanh(c * tanh(tanh(f * g) + sigmoid(k + l))), c
