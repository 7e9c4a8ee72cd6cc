"""A network of tokens read one token of each row at a time, as when it writes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from gatework.cells.declarations import Extra
from gatework.compiler.step import Step, prepared
from gatework.nn.backbone import Backbone, BackboneState
from gatework.nn.embedding import PADDING
from gatework.nn.recurrent import Recurrent


class Stepper:
    """A `Backbone` that reads one token of each row: what is the same at every token is done once, by `stepper`.

    Gives what the backbone gives, bit for bit, without gradients. For weights that do not change meanwhile.
    """

    def __init__(self, backbone: Backbone, steps: Sequence[Step]) -> None:
        self._embedding, self._vectors = backbone.embedding, backbone.embedding.weight.detach()
        self._steps = steps

    def __call__(self, ids: Tensor, state: BackboneState) -> tuple[Tensor, BackboneState]:
        """Outputs [B, 1, width] of tokens [B, 1], and the next state, from a state as the backbone returns it.

        Raises IndexError for a number that is no token, and InputError for a state of other shapes.
        """
        padded = PADDING in ids[:, 0].tolist()  # its row of the matrix is not its vector
        x = self._embedding(ids) if padded else functional.embedding(ids, self._vectors)
        after: BackboneState = []
        for step, own in zip(self._steps, state, strict=True):
            x, finals = step(x, (own,) if isinstance(own, Tensor) else own)
            after.append(finals[0] if len(finals) == 1 else tuple(finals))
        return x, after


def stepper(backbone: Backbone, rows: int) -> Stepper | None:
    """A stepper of `rows` rows, >= 1; None where the backbone does more than look up vectors and run kernels."""
    if backbone.characters is not None or backbone.features is not None:
        return None
    if any(module.training for module in backbone.modules()):
        return None
    steps = [_step(stage, rows) for stage in backbone.stages]
    ready = [step for step in steps if step is not None]
    return Stepper(backbone, ready) if len(ready) == len(steps) else None


def _step(layer: nn.Module, rows: int) -> Step | None:
    """One layer's, where it runs one way and nothing is drawn."""
    if type(layer) is not Recurrent or layer.backend == "reference":
        return None
    if layer.num_layers > 1 or layer.bidirectional or layer.cell.entries(Extra) or layer.regularisers.draws[False]:
        return None
    return prepared(layer.running_cell, layer.parameters_of(0), rows, layer.input_size, layer.state_sizes)
