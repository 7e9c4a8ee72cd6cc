"""An ONNX graph in the making: nodes with names of their own, and each constant stored once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor

from gatework.errors import InputError

# The lowest opset in which every reduction takes its axes as an input (so that one form serves them all) and Split its
# number of parts; LSTM, GRU, RNN and Scan have had today's form since 14, 14, 14 and 16. Newer ones would only shut out
# older runtimes: 18 came in December 2022, and its files have IR version 8.
OPSET, IR_VERSION = 18, 8

TYPES = {
    torch.float32: onnx.TensorProto.FLOAT,
    torch.float64: onnx.TensorProto.DOUBLE,
    torch.int64: onnx.TensorProto.INT64,
    torch.int32: onnx.TensorProto.INT32,
    torch.bool: onnx.TensorProto.BOOL,
}


def onnx_type(dtype: torch.dtype) -> int:
    """ONNX's number for a dtype.  Raises InputError for one that is not written."""
    if dtype not in TYPES:
        known = ", ".join(str(t).removeprefix("torch.") for t in TYPES)
        raise InputError(f"a value of the model is {dtype}; ONNX files are written with {known}.")
    return int(TYPES[dtype])


class Writer:
    """Nodes of one graph, in order; `body()` starts a graph inside it that sees its values.

    Constants go to the outermost graph, where a runtime can rearrange them once instead of at every step.
    """

    def __init__(self, outer: Writer | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.outer = outer
        self._root: Writer = outer._root if outer is not None else self
        self._names: dict[str, int] = {}
        self._stored: dict[tuple[Any, ...], str] = {}
        self.initializers: list[onnx.TensorProto] = []

    def body(self) -> Writer:
        """A graph inside this one, such as the body of a loop."""
        return Writer(self)

    def reserve(self, names: Iterable[str]) -> None:
        """Keep off names that a graph has already."""
        self._root._names |= dict.fromkeys(names, 1)

    def name(self, hint: str) -> str:
        """A name that nothing else in the whole file has: `hint`, or `hint_2`, `hint_3` ..."""
        names = self._root._names
        names[hint] = names.get(hint, 0) + 1
        return hint if names[hint] == 1 else self.name(f"{hint}_{names[hint]}")

    def node(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node with one output and return the output's name; `to` suggests that name."""
        (output,) = self.split(kind, *inputs, to=[to or kind.lower()], **attributes)
        return output

    def split(self, kind: str, *inputs: str, to: Sequence[str], **attributes: Any) -> list[str]:
        """Add a node with an output for each name in `to` ("" leaves that one out) and return the outputs' names."""
        outputs = [self.name(hint) if hint else "" for hint in to]
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=self.name(f"node_{outputs[0]}"), **kept))
        return outputs

    def constant(self, value: Tensor | np.ndarray[Any, Any], to: str = "constant") -> str:
        """The name of a stored tensor; equal ones are stored once."""
        if isinstance(value, Tensor):
            onnx_type(value.dtype)
            value = value.detach().cpu().contiguous().numpy()
        data = np.ascontiguousarray(value).reshape(value.shape)  # the first call makes a scalar [1]
        root, key = self._root, (data.dtype.str, data.shape, hashlib.sha256(data.tobytes()).digest())
        if key not in root._stored:
            root._stored[key] = root.name(to)
            root.initializers.append(numpy_helper.from_array(data, root._stored[key]))
        return root._stored[key]

    def number(self, value: float | bool, dtype: torch.dtype) -> str:
        """A stored scalar."""
        return self.constant(torch.tensor(value, dtype=dtype), "number")

    def ints(self, *values: int) -> str:
        """A stored list of whole numbers, as shapes and axes are given."""
        return self.constant(np.array(values, dtype=np.int64), "ints")

    def cast(self, value: str, dtype: torch.dtype) -> str:
        """A value in another dtype."""
        output = self.name("cast")
        self.nodes.append(helper.make_node("Cast", [value], [output], name=self.name("node_cast"), to=onnx_type(dtype)))
        return output

    def graph(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.GraphProto:
        """The finished graph."""
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), self.initializers)


def value_info(name: str, dtype: torch.dtype, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output of a graph; a size that is a string is free."""
    return helper.make_tensor_value_info(name, onnx_type(dtype), list(shape))
