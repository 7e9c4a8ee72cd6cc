"""`Backbone`: the part of a network of tokens that every text task shares, from ids to a vector for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gatework.cells import Cell
from gatework.errors import InputError
from gatework.nn.characters import CharacterFeatures, CharacterOptions, Spelling
from gatework.nn.dropout import LockedDropout
from gatework.nn.embedding import WordEmbedding
from gatework.nn.pooling import running
from gatework.nn.recurrent import Recurrent
from gatework.nn.self_attention import SelfAttention

BackboneState = list[Any]  # of each layer from the bottom: a tensor or a tuple of tensors, rows of the batch second


class Backbone(nn.Module):
    """Embeddings, recurrent layers and, where wanted, self-attention under or over them: [B, T] to [B, T, width].

    One layer after the other from the bottom: token vectors, beside them features of characters and of `features`;
    `attention_under` self-attention layers; the recurrent layers; `attention_over` self-attention layers. Attention is
    causal unless the layers are bidirectional, so that one direction never sees what comes later.

    Args:
        tokens: size V of the vocabulary; id 0 is padding and has the zero vector.
        embedding: features E of a token's vector.
        cell: as for `Recurrent`: a name of the catalogue, a `Cell` class, or a cell with options.
        hidden_size: units H of each recurrent layer and direction, or one number for each layer.
        num_layers: recurrent layers, >= 1.
        bidirectional: a second set of weights reads from the end of each sequence.
        last_size: units of the last recurrent layer instead of H, such as E where an output layer shares the token
            vectors.
        dropout: of what goes from one recurrent layer to the next; like the two below locked (`LockedDropout`): a
            probability in [0, 1), in training.
        word_dropout: of whole tokens, see `WordEmbedding`.
        input_dropout: of what goes into the first layer.
        output_dropout: of what the last layer gives.
        weight_drop: see `Recurrent`, of every layer; so are the next two.
        recurrent_dropout: see `Recurrent`.
        zoneout: see `Recurrent`.
        reverse: read each sequence from its last step to its first; outputs stand in the order of the input.
        characters: what `CharacterFeatures` is to be like; None leaves spelling out.
        attention_under: self-attention layers under the recurrent ones.
        attention_over: self-attention layers over them.
        heads: of each self-attention layer.
        attention_window: steps that a step of a causal self-attention layer sees, itself the last.
        features: a module whose result [B, T, F] stands beside the token vectors; it has the attributes `width`, F, and
            `causal`, is called with (context, lengths, state) and returns the features and a state, a tuple of tensors.
        vectors: [V, E] for the token vectors to start from.

    Attributes:
        width: features of a step of the result.
        embedding: the `WordEmbedding`; its `weight` may be shared with an output layer.
        layers: the recurrent layers, one `Recurrent` each.
        causal: whether a step's result is without what comes after it in the order of reading, as a language model
            needs; then the states returned by one call continue in the next.

    Raises InputError for arguments out of range.

    Source: Merity et al., arXiv:1708.02182 (the dropouts of the AWD-LSTM); Gal & Ghahramani, arXiv:1512.05287; Ma &
    Hovy, arXiv:1603.01354 (characters beside words); Vaswani et al., arXiv:1706.03762 (self-attention).

    Example:
        >>> net = Backbone(tokens=1000, embedding=32, hidden_size=64, num_layers=2, bidirectional=True)
        >>> y, state = net(torch.tensor([[5, 6, 7], [8, 9, 0]]), lengths=[3, 2])
        >>> y.shape, y[1, 2].abs().sum().item()
        (torch.Size([2, 3, 128]), 0.0)
    """

    def __init__(
        self,
        tokens: int,
        embedding: int = 128,
        cell: str | type[Cell] | Cell = "lstm",
        hidden_size: int | Sequence[int] = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        last_size: int | None = None,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        weight_drop: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        reverse: bool = False,
        characters: CharacterOptions | None = None,
        attention_under: int = 0,
        attention_over: int = 0,
        heads: int = 4,
        attention_window: int = 128,
        features: nn.Module | None = None,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        sizes = _sizes(hidden_size, num_layers, last_size)
        self.bidirectional, self.reverse = bidirectional, reverse
        self.embedding = WordEmbedding(tokens, embedding, word_dropout, vectors)
        self.characters = None if characters is None else CharacterFeatures(characters)
        self.features = features
        width = embedding + (0 if self.characters is None else self.characters.width)
        width += 0 if features is None else int(features.width)  # type: ignore[arg-type]
        self.input_dropout, self.output_dropout = LockedDropout(input_dropout), LockedDropout(output_dropout)
        options: dict[str, Any] = {
            "heads": heads,
            "dropout": dropout,
            "causal": not bidirectional,
            "window": attention_window,
        }
        self.under = SelfAttention(width, attention_under, **options) if attention_under else None
        self.layers = nn.ModuleList()
        for size in sizes:
            layer = Recurrent(
                cell,
                width,
                size,
                batch_first=True,
                bidirectional=bidirectional,
                weight_drop=weight_drop,
                recurrent_dropout=recurrent_dropout,
                zoneout=zoneout,
            )
            self.layers.append(layer)
            width = layer.output_size * layer.num_directions
        self.between = LockedDropout(dropout)
        self.over = SelfAttention(width, attention_over, **options) if attention_over else None
        self.width = width

    @property
    def causal(self) -> bool:
        """Whether a step's result is without what comes after it in the order of reading."""
        return not self.bidirectional and (self.features is None or (bool(self.features.causal) and not self.reverse))

    @property
    def stages(self) -> list[nn.Module]:
        """The layers from the bottom: attention under, recurrent layers, attention over."""
        return [stage for stage in (self.under, *self.layers, self.over) if stage is not None]

    def groups(self) -> list[nn.Module]:
        """The modules from the bottom to the top, for learning rates that grow with height: `features` first if there
        are any, then what embeds tokens and characters, then each stage.
        """
        embeds = nn.ModuleList([part for part in (self.embedding, self.characters) if part is not None])
        return [*([] if self.features is None else [self.features]), embeds, *self.stages]

    def forward(
        self,
        ids: Tensor,
        lengths: Tensor | Sequence[int] | None = None,
        state: BackboneState | None = None,
        characters: Tensor | Spelling | None = None,
        context: Any = None,
    ) -> tuple[Tensor, BackboneState]:
        """Run over whole sequences, or over what continues them.

        Args:
            ids: [B, T] tokens, whole numbers in 0..V-1; 0 is padding.
            lengths: [B] steps of each sequence in 0..T; None where all have T. What stands past them changes nothing.
            state: as an earlier call returned it, for sequences that continue; None starts afresh.
            characters: the words' spelling where the network reads it, [B, T, L] ids padded with 0, or `Spelling`.
            context: what `features` is called with.

        Returns:
            y [B, T, width], 0 past each length, and the state after each row's last step, for the next call. Every
            tensor of a state has the rows of the batch on its second axis.

        Raises InputError where shapes or ids do not fit, and for what the network was made without.
        """
        older = self._older(state)
        x, finals = self._inputs(ids, characters, context, lengths, older)
        x = self.input_dropout(_reversed(x, lengths) if self.reverse else x)
        for number, stage in enumerate(self.stages):
            if number and isinstance(stage, Recurrent):
                x = self.between(x)
            x, final = stage(x, older.pop(0), lengths)
            finals.append(final)
        x = self.output_dropout(x)
        return (_reversed(x, lengths) if self.reverse else x), finals

    def _older(self, state: BackboneState | None) -> list[Any]:
        """What each part that carries a state starts from: `features`, then the stages."""
        count = len(self.stages) + (self.features is not None)
        if state is None:
            return [None] * count
        if len(state) != count:
            raise InputError(f"state has {len(state)} entries; expected {count}, as this network returns it.")
        return list(state)

    def _inputs(
        self,
        ids: Tensor,
        characters: Tensor | Spelling | None,
        context: Any,
        lengths: Tensor | Sequence[int] | None,
        older: list[Any],
    ) -> tuple[Tensor, BackboneState]:
        """What goes into the first layer [B, T, F], and the state of `features`, taking the older one from `older`."""
        if ids.dim() != 2:
            raise InputError(f"ids has shape {tuple(ids.shape)}; expected [B, T].")
        for name, part, given in (("characters", self.characters, characters), ("context", self.features, context)):
            if (part is None) != (given is None):
                wants = "was made without them" if part is None else "needs them at every call"
                raise InputError(f"{name} is {'given' if part is None else 'None'}, but this network {wants}.")
        parts, after = [self.embedding(ids)], []
        if self.characters is not None and characters is not None:
            parts.append(self.characters(characters))
        if self.features is not None:
            found, own = self.features(context, lengths, older.pop(0))
            parts.append(found)
            after.append(own)
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1), after


def _reversed(x: Tensor, lengths: Tensor | Sequence[int] | None) -> Tensor:
    """The steps [B, T, F] of each row from its last to its first; what is past a row's length stays where it is."""
    if lengths is None:
        return x.flip(1)
    seen, steps = running(lengths, x), torch.arange(x.shape[1], device=x.device)
    back = torch.as_tensor(lengths, device=x.device).unsqueeze(1) - 1 - steps
    return x.gather(1, torch.where(seen, back, steps).unsqueeze(-1).expand_as(x))


def _sizes(hidden_size: int | Sequence[int], num_layers: int, last_size: int | None) -> list[int]:
    """Units of each recurrent layer."""
    if not isinstance(num_layers, int) or isinstance(num_layers, bool) or num_layers < 1:
        raise InputError(f"num_layers is {num_layers!r}; expected a whole number >= 1.")
    sizes = [hidden_size] * num_layers if isinstance(hidden_size, int) else list(hidden_size)
    if len(sizes) != num_layers:
        raise InputError(f"hidden_size has {len(sizes)} numbers; expected one, or one for each of {num_layers} layers.")
    return [*sizes[:-1], sizes[-1] if last_size is None else last_size]
