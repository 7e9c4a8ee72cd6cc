"""Vectors of words from the pieces that a transformer reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from gatework.errors import ArtefactError

_CONTEXT = 64  # words that a causal transformer sees before those of the call


class TransformerFeatures(nn.Module):
    """A vector for each word from a transformer: the mean of those of its pieces, in the model's last layer.

    A text with more pieces than the model sees at once is read in windows, one after the other. A frozen model is not
    part of the state_dict: the folder is needed again, and is checked to be the same.

    Args:
        model: of the package `transformers`.
        around: ids of the special pieces before and after a text.
        limit: pieces that the model sees at once.
        digest: 32 bytes that tell the folder from others.
        fine_tune: train the model too.

    Attributes:
        width: features F of a word.
        causal: whether a word's vector is without what comes after it, tried out on the model.
    """

    digest: Tensor

    def __init__(
        self, model: nn.Module, around: tuple[list[int], list[int]], limit: int, digest: bytes, fine_tune: bool = False
    ) -> None:
        super().__init__()
        self.fine_tune, self.before, self.after = fine_tune, *around
        self.width, self.limit = int(model.config.hidden_size), limit  # type: ignore[arg-type, union-attr]
        self.register_buffer("digest", torch.tensor(list(digest), dtype=torch.uint8))
        self.causal = _is_causal(model)
        if fine_tune:
            self.model = model.train(self.training)
        else:  # out of sight of state_dict, train and parameters
            self._frozen = [model.eval().requires_grad_(False)]

    def forward(
        self, pieces: Tensor, lengths: Tensor | Sequence[int] | None = None, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Vectors of the words of a batch.

        Args:
            pieces: [B, T, P] of each word, as `Transformer.pieces` gives them; all 0 past the end of a row.
            lengths: [B] words of each row; None where all have T. Not used unless the model is causal.
            state: as the call before returned it; a causal model then sees up to 64 words before these.

        Returns:
            [B, T, F], zeros for a word without pieces, and the state: the pieces of the last words, [1, B, C, P].
        """
        if not self.causal:
            return self._words(pieces), ()
        T, P = pieces.shape[1:]
        if state:
            older = state[0][0]
            P = max(P, older.shape[2])
            pieces = torch.cat([_wide(older, P), _wide(pieces, P)], 1)
        past = pieces.shape[1] - T
        ends = torch.full(pieces.shape[:1], T) if lengths is None else torch.as_tensor(lengths)
        kept = min(_CONTEXT, pieces.shape[1])
        places = past + ends.to(pieces.device).unsqueeze(1) - kept + torch.arange(kept, device=pieces.device)
        last = pieces.gather(1, places.clamp_min(0).unsqueeze(-1).expand(-1, -1, P))
        last = last * (places >= 0).unsqueeze(-1)
        return self._words(pieces)[:, past:], (last.unsqueeze(0),)

    def _words(self, pieces: Tensor) -> Tensor:
        """Vectors [B, T, F] of words from their pieces [B, T, P]."""
        B, T, P = pieces.shape
        held = pieces > 0
        counts = held.sum(2)  # [B, T]
        places = held.view(-1).nonzero().squeeze(1)  # of N pieces
        if not len(places):
            return torch.zeros((B, T, self.width), device=pieces.device)
        words = places // P
        room = max(1, self.limit - len(self.before) - len(self.after) - (P - 1))
        windows = (counts.cumsum(1) - 1).clamp_min(0) // room  # by the last piece of each word, so that none is cut
        windows += torch.arange(B, device=pieces.device).unsqueeze(1) * (windows.max() + 1)
        _, group, sizes = torch.unique_consecutive(windows.view(-1)[words], return_inverse=True, return_counts=True)
        columns = torch.arange(len(places), device=pieces.device) - (sizes.cumsum(0) - sizes)[group]
        found = self._run(pieces.reshape(-1)[places] - 1, group, columns + len(self.before), sizes)
        sums = found.new_zeros((B * T, self.width)).index_add(0, words, found)
        return (sums / counts.view(-1, 1).clamp_min(1)).view(B, T, self.width)

    def _run(self, pieces: Tensor, rows: Tensor, columns: Tensor, sizes: Tensor) -> Tensor:
        """Vectors [N, F] of pieces [N] that stand at (rows, columns) of texts with so many pieces each."""
        whole = sizes + len(self.before) + len(self.after)
        steps = torch.arange(int(whole.max()), device=pieces.device)
        ids = pieces.new_zeros((len(sizes), len(steps)))
        ids[:, : len(self.before)] = pieces.new_tensor(self.before)
        for number, piece in enumerate(self.after, len(self.before)):
            ids[torch.arange(len(sizes), device=ids.device), sizes + number] = piece
        ids[rows, columns] = pieces
        model = self.model if self.fine_tune else self._frozen[0]
        with torch.set_grad_enabled(self.fine_tune and torch.is_grad_enabled()):
            read = model(input_ids=ids, attention_mask=(steps < whole.unsqueeze(1)).long()).last_hidden_state
        found: Tensor = read[rows, columns]
        return found

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move a frozen model with the rest."""
        for model in () if self.fine_tune else self._frozen:
            model._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        digest = state_dict.get(f"{prefix}digest")
        if digest is not None and not torch.equal(digest.to(self.digest), self.digest):
            raise ArtefactError(
                "the transformer's folder is not the one that the network was trained with; put the files back as they "
                "were, or fit again."
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _wide(pieces: Tensor, width: int) -> Tensor:
    """[B, T, P] padded to [B, T, width]."""
    return nn.functional.pad(pieces, (0, width - pieces.shape[2]))


@torch.no_grad()
def _is_causal(model: nn.Module) -> bool:
    """Whether the model's vectors stay as they are when the last piece changes."""
    was = model.training
    model.eval()
    first, second = (model(input_ids=torch.tensor([[0, 0, 0, last]])).last_hidden_state[:, :3] for last in (0, 1))
    model.train(was)
    return torch.equal(first, second)
