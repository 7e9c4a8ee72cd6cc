"""The directions of a layer as one LSTM, GRU or RNN node of the ONNX standard."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gatework.export.direction import Direction, Sequences
from gatework.export.standard import Match
from gatework.export.writer import Writer


def write_standard(
    writer: Writer, directions: Sequence[Direction], read: Sequences, states: Sequence[str] | None
) -> tuple[str, list[str]]:
    """Write one standard node for the directions of a layer, all of which match.

    Args:
        writer: the graph.
        directions: one or two of the same cell.
        read: the inputs.
        states: initial states [D, B, H], or None for zeros.

    Returns:
        outputs [T, B, D * H], and the final states [D, B, H].
    """
    matches = [d.match for d in directions if d.match is not None]
    (standard,) = {m.standard.kind: m.standard for m in matches}.values()
    H, D = directions[0].widths[0], len(directions)
    rows: dict[str, list[Tensor]] = {"W": [], "R": [], "B": [], "P": []}
    for one, match in zip(directions, matches, strict=True):
        weights, biases = (_parts(one, name, match) for name in ("weight_ih", "bias_ih"))
        like = one.params["weight_ih"]
        rows["W"].append(match.arranged(weights, like[:H]))
        rows["R"].append(match.arranged(match.matrices, like.new_empty(H, H)))
        rows["B"].append(torch.cat([match.arranged(b, like.new_empty(H)) for b in (biases, match.biases)]))
        seen = match.arranged([v if v is None else v.reshape(-1) for v in match.vectors], like.new_empty(H))
        rows["P"].append(seen[: 3 * H])  # the gates i, o and f; the candidate sees no cell state
    stored = {name: writer.constant(torch.stack(parts), name) for name, parts in rows.items() if name != "P"}
    initial = list(states) if states is not None else [""] * len(directions[0].widths)
    lengths = writer.cast(read.lengths, torch.int32) if read.lengths is not None else ""
    inputs = [read.x, *stored.values(), lengths, *initial]
    if any(v is not None for v in matches[0].vectors):
        inputs.append(writer.constant(torch.stack(rows["P"]), "P"))
    while not inputs[-1]:
        inputs.pop()
    attributes = dict(standard.attributes)
    if "activations" in attributes:
        attributes["activations"] = attributes["activations"] * D
    way = "bidirectional" if D == 2 else "reverse" if directions[0].reverse else "forward"
    names = ["outputs", *(f"last_{state}" for state in directions[0].cell.states)]
    y, *finals = writer.split(standard.kind, *inputs, to=names, hidden_size=H, direction=way, **attributes)
    if states is not None and read.lengths is not None:  # runtimes differ on what is left of an empty sequence
        empty = writer.node("Equal", read.lengths, writer.constant(torch.tensor(0)), to="empty")
        empty = writer.node("Unsqueeze", empty, writer.ints(1), to="empty")
        finals = [writer.node("Where", empty, old, new) for old, new in zip(states, finals, strict=True)]
    if D == 1:
        return writer.node("Squeeze", y, writer.ints(1), to="joined"), finals
    flat = writer.node("Transpose", y, perm=[0, 2, 1, 3])  # [T, D, B, H] -> [T, B, D, H]
    return writer.node("Reshape", flat, writer.ints(0, 0, -1), to="joined"), finals


def _parts(one: Direction, name: str, match: Match) -> list[Tensor | None]:
    """The rows of an input parameter for each gate of the node."""
    if name not in one.params:
        return [None] * len(match.gates)
    rows = one.params[name].chunk(len(one.cell.gate_names))
    return [None if gate is None else rows[gate] for gate in match.gates]
