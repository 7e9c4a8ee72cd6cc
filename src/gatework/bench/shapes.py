"""The shapes that kernels are measured at."""

from __future__ import annotations

from dataclasses import dataclass

from gatework.errors import InputError


@dataclass(frozen=True)
class Shape:
    """T steps of B sequences, I features in, H units."""

    T: int
    B: int
    I: int  # noqa: E741
    H: int

    def __str__(self) -> str:
        width = f"H{self.H}" if self.I == self.H else f"I{self.I} H{self.H}"
        return f"T{self.T} B{self.B} {width}"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read `100x32x256` (T, B, I = H) or `35x20x640x650` (T, B, I, H).

        Raises InputError for anything else.
        """
        parts = text.lower().split("x")
        if len(parts) not in (3, 4) or not all(part.isdecimal() and int(part) > 0 for part in parts):
            raise InputError(f"{text!r} is no shape; expected TxBxH or TxBxIxH, whole numbers > 0, such as 100x32x256.")
        T, B, width, *rest = map(int, parts)
        return cls(T, B, width, *(rest or [width]))

    def flops(self, gates: int, backward: bool) -> float:
        """Floating point operations of the matrix products of one layer; backward has twice as many as forward."""
        return 2.0 * self.T * self.B * gates * self.H * (self.I + self.H) * (3 if backward else 1)


@dataclass(frozen=True)
class Image:
    """T steps of B square images of C channels, as many in as out."""

    T: int
    B: int
    side: int
    C: int

    def __str__(self) -> str:
        return f"T{self.T} B{self.B} {self.side}x{self.side} C{self.C}"


def _square(T: int, B: int, H: int) -> Shape:
    return Shape(T, B, H, H)


SHAPES = (
    _square(100, 1, 128),
    _square(100, 1, 256),
    _square(100, 16, 128),
    _square(100, 32, 64),
    _square(100, 32, 256),
    _square(100, 64, 512),
    Shape(35, 20, 640, 650),
    _square(100, 32, 1024),
    _square(512, 16, 128),
    _square(25, 16, 512),
    _square(50, 128, 256),
)
# Lengths of a ragged batch are uniform in 10..T.
RAGGED = (_square(200, 64, 128), _square(200, 32, 256))
# torch.compile unrolls the time loop: its compile time grows with T, to minutes at T = 100.
COMPILED = (_square(16, 1, 128), _square(16, 16, 128), _square(16, 32, 256))
STREAM = _square(50, 1, 128)
WIDE = tuple(shape for shape in SHAPES if shape.H >= 256)  # where weights do not stay in the nearest cache
WIDE_STREAM = _square(50, 1, 512)
# What has no product in its loop is made for one long sequence; in a batch, the products before the loop take the time.
LONG = tuple(_square(2000, 1, H) for H in (32, 64, 128, 256, 512))
IMAGE = Image(10, 8, 64, 32)

QUICK = (Shape(5, 2, 3, 8), Shape(7, 5, 16, 17))
QUICK_RAGGED = (_square(20, 4, 8),)
QUICK_STREAM = _square(3, 1, 16)
QUICK_COMPILED = (_square(3, 2, 8),)
QUICK_IMAGE = Image(2, 2, 5, 3)
