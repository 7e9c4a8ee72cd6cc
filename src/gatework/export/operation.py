"""One ATen call on its way to ONNX: its arguments by name, its shape, and the writer that takes the nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from gatework.compiler.graph import Unsupported
from gatework.export.step import SAMPLE, Shape
from gatework.export.writer import Writer

Written = str | list[str]


@dataclass(frozen=True)
class Operation:
    """One ATen call to be written.

    Attributes:
        writer: the graph that it goes to.
        node: the call.
        names: of its tensor arguments in that graph.
        shape: of its result, None for the size of the batch; of several results, a list.
        batch: gives the name of the batch's size, [1] whole number, in that graph.
    """

    writer: Writer
    node: Node
    names: dict[Node, str]
    shape: Any
    batch: Callable[[], str]

    @property
    def dtype(self) -> torch.dtype:
        """Of the result."""
        value = self.node.meta["val"]
        dtype: torch.dtype = (value[0] if isinstance(value, tuple | list) else value).dtype
        return dtype

    def arg(self, k: int, name: str = "", default: Any = None) -> Any:
        """An argument that is no tensor, by position or by name."""
        if k < len(self.node.args):
            return self.node.args[k]
        return self.node.kwargs.get(name, default)

    def tensor(self, k: int, dtype: torch.dtype | None = None) -> str:
        """The name of tensor argument k, cast to `dtype` (the result's own by default); a number becomes a constant."""
        value, dtype = self.node.args[k], dtype or self.dtype
        if not isinstance(value, Node):
            assert isinstance(value, int | float | bool)
            return self.writer.number(value, dtype)
        return self.names[value] if self.type_of(k) == dtype else self.writer.cast(self.names[value], dtype)

    def type_of(self, k: int) -> torch.dtype:
        """The dtype of tensor argument k."""
        value = self.node.args[k]
        assert isinstance(value, Node)
        dtype: torch.dtype = value.meta["val"].dtype
        return dtype

    def rank(self, k: int = 0) -> int:
        """The number of axes of tensor argument k."""
        value = self.node.args[k]
        assert isinstance(value, Node)
        return int(value.meta["val"].dim())

    def common_type(self) -> torch.dtype:
        """The dtype in which two arguments are compared."""
        first, second = (n.meta["val"] if isinstance(n, Node) else n for n in self.node.args[:2])
        dtype: torch.dtype = torch.result_type(first, second)  # type: ignore[arg-type]
        return dtype

    def write(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add an ONNX node named after the call."""
        return self.writer.node(kind, *inputs, to=self.node.name, **attributes)

    def number(self, value: float) -> str:
        """A constant of the result's dtype."""
        return self.writer.number(value, self.dtype)

    def sizes(self, infer: bool) -> str:
        """The result's shape; the batch's size is -1 where the ONNX node infers it, else read from the batch."""
        shape: Shape = self.shape
        free = shape.count(None)
        if free == 0:
            return self.writer.ints(*(int(s or 0) for s in shape))
        if free > 1:
            raise Unsupported(f"`{self.node.name}` has the size of the batch on more than one axis; rows must not mix.")
        if infer:
            return self.writer.ints(*(-1 if s is None else s for s in shape))
        if any(s is None and size != SAMPLE for s, size in zip(shape, self.node.meta["val"].shape, strict=True)):
            raise Unsupported(f"`{self.node.name}` has a multiple of the batch's size on one axis; rows must not mix.")
        parts = [self.batch() if s is None else self.writer.ints(s) for s in shape]
        return self.write("Concat", *parts, axis=0)


Rule = Callable[[Operation], Written]


def each(names: str, rule: Callable[[str], Rule]) -> dict[str, Rule]:
    """Rules of "aten:ONNX" pairs."""
    pairs = (item.split(":") for item in names.split())
    return {aten: rule(onnx) for aten, onnx in pairs}
