"""Self-attention layers that stand under or over recurrent ones, and stream as they do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.errors import InputError
from gatework.nn.dropout import LockedDropout
from gatework.nn.pooling import running

# of each layer: keys and values [2, B, P, heads * S], and how many of the P places are filled [1, B]
AttentionState = tuple[Tensor, ...]
_PIECES = 4  # windows that causal attention is computed for at once


class SelfAttention(nn.Module):
    """Transformer encoder layers with normalisation before each part, [B, T, W] to [B, T, W].

    Positions are told by rotating queries and keys (Su et al., arXiv:2104.09864, eq. 15-16), so only the distance
    between two steps counts. Causal layers look back over a window and carry it from call to call: pieces of a
    sequence, one after the other, give what the whole gives, at the same cost for each step however long it grows.

    Args:
        width: features W of a step.
        layers: how many, >= 1.
        heads: of each layer, >= 1; each sees ceil(W / heads) features, made even.
        dropout: probability in [0, 1) of dropping features of what each part adds, the same at every step, in training.
        causal: a step sees itself and the `window - 1` steps before it; else every step of its sequence.
        window: steps that a causal step sees, >= 1.

    Raises InputError for arguments out of range.

    Source: Vaswani et al., arXiv:1706.03762, section 3; Xiong et al., arXiv:2002.04745 (normalisation first).
    """

    def __init__(
        self,
        width: int,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.0,
        causal: bool = False,
        window: int = 128,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("layers", layers), ("heads", heads), ("window", window)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        self.layers = nn.ModuleList(_Layer(width, heads, dropout, causal, window) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, state: AttentionState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, AttentionState]:
        """Run every layer over whole sequences, or over what continues them.

        Args:
            x: [B, T, W].
            state: as an earlier call returned it; None starts afresh.
            lengths: [B] whole numbers in 0..T, or None where every step counts.

        Returns:
            y [B, T, W], 0 past each length, and the state: of each layer two tensors with the rows of the batch on the
            second axis; nothing where layers are not causal.
        """
        seen, after = None if lengths is None else running(lengths, x), []
        for number, layer in enumerate(self.layers):
            x, own = layer(x, seen, state[2 * number : 2 * number + 2] if state else None)
            after += own
        y = self.norm(x)
        return y if seen is None else y * seen.unsqueeze(-1), tuple(after)


class _Layer(nn.Module):
    """Attention, then two linear layers with a GELU between; each adds to what it was given."""

    def __init__(self, width: int, heads: int, dropout: float, causal: bool, window: int) -> None:
        super().__init__()
        self.heads, self.causal, self.window = heads, causal, window
        self.size = -(-width // (2 * heads)) * 2
        self.qkv = nn.Linear(width, 3 * heads * self.size)
        self.out = nn.Linear(heads * self.size, width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = LockedDropout(dropout)

    def forward(self, x: Tensor, seen: Tensor | None, state: AttentionState | None) -> tuple[Tensor, list[Tensor]]:
        attended, after = self._attend(self.first(x), seen, state)
        x = x + self.dropout(attended)
        return x + self.dropout(self.narrow(functional.gelu(self.wide(self.second(x))))), after

    def _attend(self, x: Tensor, seen: Tensor | None, state: AttentionState | None) -> tuple[Tensor, list[Tensor]]:
        if self.causal and x.shape[1] > _PIECES * self.window:
            return self._in_pieces(x, seen, state)
        B, T, _ = x.shape
        queries, *pair = self.qkv(x).chunk(3, -1)
        both, visible, past, after = torch.stack(pair), seen, 0, []  # keys and values [2, B, T, heads * S]
        if self.causal:
            filled = torch.zeros((1, B), dtype=torch.long, device=x.device)
            if state is not None:
                older, filled = state
                past = older.shape[2]
                both = torch.cat([older, both], 2)
                visible = torch.cat([_last(filled[0], past), running(None, x) if seen is None else seen], 1)
            after = self._carry(both, filled, seen, T)
        q, k, v = (part.unflatten(2, (self.heads, self.size)).transpose(1, 2) for part in (queries, *both))
        mask = self._mask(visible, T, past, x.device)
        y = functional.scaled_dot_product_attention(_turned(q, past), _turned(k, 0), v, attn_mask=mask)
        return self.out(y.transpose(1, 2).flatten(2)), after

    def _in_pieces(self, x: Tensor, seen: Tensor | None, state: AttentionState | None) -> tuple[Tensor, list[Tensor]]:
        """As `_attend`, with memory that grows with T instead of T * T."""
        size, found, after = _PIECES * self.window, [], list(state or ())
        for start in range(0, x.shape[1], size):
            own = None if seen is None else seen[:, start : start + size]
            y, after = self._attend(x[:, start : start + size], own, tuple(after) or None)
            found.append(y)
        return torch.cat(found, 1), after

    def _carry(self, both: Tensor, filled: Tensor, seen: Tensor | None, T: int) -> list[Tensor]:
        """The last `window - 1` keys and values of each row, right-aligned, and how many of them are its own."""
        past, kept = both.shape[2] - T, min(self.window - 1, both.shape[2])
        steps = torch.full_like(filled, T) if seen is None else seen.sum(1, keepdim=True).T  # [1, B]
        places = (past + steps.T - kept + torch.arange(kept, device=both.device)).clamp_min(0)  # [B, P]
        last = both.gather(2, places[None, :, :, None].expand(2, -1, -1, both.shape[3]))
        return [last, (filled + steps).clamp_max(kept)]

    def _mask(self, visible: Tensor | None, T: int, past: int, device: torch.device) -> Tensor | None:
        """Which keys each query sees, bool [B or 1, 1, T or 1, past + T]; None where it sees all."""
        mask = None if visible is None else visible[:, None, None]
        own = torch.arange(past, past + T, device=device)
        if self.causal:
            distance = own.unsqueeze(1) - torch.arange(past + T, device=device)
            near = (distance >= 0) & (distance < self.window)
            mask = near[None, None] if mask is None else mask & near
            return mask | (distance == 0)  # a query past its row's end sees itself: none may see nothing
        return mask if mask is None else mask | ~mask.any(-1, keepdim=True)


def _last(count: Tensor, places: int) -> Tensor:
    """The last `count` [B] of so many places, bool [B, places]."""
    return torch.arange(places, device=count.device) >= places - count.unsqueeze(1)


def _turned(x: Tensor, start: int) -> Tensor:
    """Each pair of features of x [B, heads, K, S] rotated by its step, `start` being the first, times its frequency."""
    half = x.shape[-1] // 2
    rates = 10_000.0 ** (-torch.arange(half, device=x.device) / half)
    angles = torch.arange(start, start + x.shape[2], device=x.device).unsqueeze(1) * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
