"""A program of its own: prints what a new cell's first gradients cost beyond `import torch`, in wall and CPU seconds.

    python -P first_use.py [FACTOR]

Another factor makes another cell. A kernel that is not in the cache is traced and built; else it is loaded.
"""

import os
import sys
import time

import torch


def main() -> None:
    """Define a cell, make a layer, run it forward and backward; print the seconds."""
    factor = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    start, work = time.perf_counter(), sum(os.times()[:4])
    from gatework.cells import Cell, vector
    from gatework.nn import Recurrent

    class Fresh(Cell):
        """A cell that no catalogue has: a coupled gate that sees the state."""

        state = "h", "c"
        gates = "f", "g", "o"
        p = vector("f", "o")

        def step(self, x, s, U, p):  # type: ignore[no-untyped-def]
            f = torch.sigmoid(x.f + U.f @ s.h + p.f * s.c)
            c = f * s.c + (1 - f) * torch.tanh(factor * (x.g + U.g @ s.h))
            return torch.sigmoid(x.o + U.o @ s.h + p.o * c) * torch.tanh(c), c

    layer = Recurrent(Fresh, 16, 32, backend="cpp")
    y, _ = layer(torch.randn(5, 3, 16))
    y.sum().backward()
    print(time.perf_counter() - start, sum(os.times()[:4]) - work)  # noqa: T201


if __name__ == "__main__":
    main()
