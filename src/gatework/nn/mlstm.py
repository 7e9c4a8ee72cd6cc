"""`MLSTM`: heads with a matrix as memory, in parallel over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatework.compiler.ragged import Ragged
from gatework.errors import InputError
from gatework.nn.matrix import Memory, chunkwise, empty_memory, stepwise

Form = Literal["chunkwise", "stepwise"]


class MLSTM(nn.Module):
    """The matrix LSTM of xLSTM: each head stores pairs of keys and values in a matrix, with exponential gates.

    q, k, v and the output gate o are affine maps of the input, as are the input and forget gate of each head, one
    number each; h = sigmoid(o) * norm(read(q)) with the memory of `gatework.nn.matrix.stepwise`. No product of a state
    is in the loop, so all steps are computed at once, in chunks. Source: Beck et al., arXiv:2405.04517, eq. 19-27.

    Args:
        input_size: features I of the input, >= 1.
        hidden_size: features H of the output, a multiple of `num_heads`.
        num_heads: heads N, >= 1, each with values of V = H / N numbers.
        key_size: numbers K of a head's keys and queries, >= 1; None means V.
        bias: learn biases of all maps.
        batch_first: inputs and outputs are [B, T, ...] instead of [T, B, ...]; states never are.
        norm: bring each head's output to mean 0 and variance 1, times a learned weight, before the output gate (the
            paper's group norm); False leaves it out.
        chunk: steps computed together, >= 1; more take more memory and fewer passes of the state.
        form: "chunkwise", or "stepwise" for the definition in a Python loop.
        eps: added to the normaliser, >= 0.

    Gate biases start as in the authors' code: forget gates evenly in 3..6 from head to head, input gates near 0, both
    independent of the input. In half precision and under autocast the memory is computed and kept in float32.

    Raises InputError for arguments out of range.

    Example:
        >>> import torch
        >>> layer = MLSTM(3, 8, num_heads=2)
        >>> y, (C, n, m) = layer(torch.zeros(7, 5, 3))
        >>> y.shape, C.shape, n.shape, m.shape
        (torch.Size([7, 5, 8]), torch.Size([5, 2, 4, 4]), torch.Size([5, 2, 4]), torch.Size([5, 2]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_heads: int = 4,
        key_size: int | None = None,
        bias: bool = True,
        batch_first: bool = False,
        norm: bool = True,
        *,
        chunk: int = 64,
        form: Form = "chunkwise",
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        numbers = {"input_size": input_size, "hidden_size": hidden_size, "num_heads": num_heads, "chunk": chunk}
        for name, value in (numbers | ({} if key_size is None else {"key_size": key_size})).items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        if hidden_size % num_heads:
            raise InputError(f"hidden_size is {hidden_size}; expected a multiple of num_heads, which is {num_heads}.")
        if form not in get_args(Form):
            raise InputError(f"form is {form!r}; expected one of {', '.join(get_args(Form))}.")
        if not eps >= 0:
            raise InputError(f"eps is {eps!r}; expected a number >= 0.")
        self.input_size, self.hidden_size, self.num_heads = input_size, hidden_size, num_heads
        self.value_size, self.key_size = hidden_size // num_heads, key_size or hidden_size // num_heads
        self.bias, self.batch_first, self.chunk, self.form, self.eps = bias, batch_first, chunk, form, eps
        # rows of one product: queries, keys, values, input gates, forget gates, output gates
        keys = num_heads * self.key_size
        self._widths = [keys, keys, hidden_size, num_heads, num_heads, hidden_size]
        rows = sum(self._widths)
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.bias_ih = nn.Parameter(torch.empty(rows, device=device, dtype=dtype)) if bias else None
        self.norm = nn.Parameter(torch.empty(hidden_size, device=device, dtype=dtype)) if norm else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw maps from U(-1/sqrt(I), 1/sqrt(I)); gates start as the class says, the norm's weight with 1."""
        bound = 1 / math.sqrt(self.input_size)
        nn.init.uniform_(self.weight_ih, -bound, bound)
        parts = torch.split(self.weight_ih, self._widths)
        nn.init.zeros_(parts[3])
        nn.init.zeros_(parts[4])
        if self.bias_ih is not None:
            nn.init.zeros_(self.bias_ih)
            biases = torch.split(self.bias_ih, self._widths)
            nn.init.normal_(biases[3], std=0.1)
            biases[4].copy_(torch.linspace(3, 6, self.num_heads))
        if self.norm is not None:
            nn.init.ones_(self.norm)

    def forward(
        self, input: Tensor, hx: Memory | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Memory]:
        """Run over whole sequences.

        Args:
            input: [T, B, I], or [B, T, I] with batch_first.
            hx: the memory to begin with, C [B, N, K, V], n [B, N, K] and m [B, N], float32 or wider; None means empty.
                What one call returns continues in the next.
            lengths: [B] whole numbers in 0..T for padded batches. Steps past a row's length change nothing and come
                out as zeros.

        Returns:
            outputs [T, B, H] (or [B, T, H]) and the memory after each row's last step.

        Raises InputError when shapes, dtypes or lengths do not fit.
        """
        self._check(input)
        x = input if self.batch_first else input.transpose(0, 1)
        B, T = x.shape[:2]
        padding = None if lengths is None else self._padding(lengths, T, B).to(x.device)
        if padding is not None:
            x = x.masked_fill(padding[..., None], 0)  # whatever stands there, NaN perhaps, is not looked at
        q, k, v, i, f, o = torch.split(F.linear(x, self.weight_ih, self.bias_ih), self._widths, -1)
        wide = torch.promote_types(q.dtype, torch.float32)
        q, k, v = (
            a.reshape(B, T, self.num_heads, a.shape[-1] // self.num_heads).transpose(1, 2).to(wide) for a in (q, k, v)
        )
        i, f = (a.transpose(1, 2).to(wide) for a in (i, f))  # [B, N, T]
        if padding is not None:  # nothing is written and nothing forgotten
            i, f = (a.masked_fill(padding[:, None], end) for a, end in ((i, -math.inf), (f, math.inf)))
        memory = empty_memory(q, self.value_size) if hx is None else self._memory(hx, empty_memory(q, self.value_size))
        if self.form == "stepwise" or T <= 1:
            h, memory = stepwise(q, k, v, i, f, memory, self.eps)
        else:
            h, memory = chunkwise(q, k, v, i, f, memory, self.eps, self.chunk)
        h = h.transpose(1, 2)  # [B, T, N, V]
        if self.norm is not None:
            h = F.layer_norm(h, (self.value_size,)) * self.norm.view(self.num_heads, -1)
        y = h.flatten(2).to(o.dtype) * torch.sigmoid(o)
        if padding is not None:
            y = y.masked_fill(padding[..., None], 0)
        return (y if self.batch_first else y.transpose(0, 1)), memory

    def _check(self, x: Tensor) -> None:
        if not isinstance(x, Tensor):
            raise InputError(f"input is {type(x).__name__}; expected a tensor.")
        if x.dim() != 3 or x.shape[-1] != self.input_size:
            axes = "B, T" if self.batch_first else "T, B"
            raise InputError(f"input has shape {tuple(x.shape)}; expected [{axes}, {self.input_size}].")
        weight = self.weight_ih
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise InputError(
                f"input is {x.dtype}, the layer's weights are {weight.dtype}; convert one: x.to({weight.dtype})."
            )
        if x.device != weight.device:
            raise InputError(f"input is on {x.device}, the layer on {weight.device}; move one with .to(...).")

    @staticmethod
    def _padding(lengths: Tensor | Sequence[int], T: int, B: int) -> Tensor:
        ragged = Ragged.of_lengths(lengths, T, B)
        return torch.arange(T)[None, :] >= ragged.unsort(ragged.lengths)[:, None]  # [B, T]

    @staticmethod
    def _memory(hx: Memory, empty: Memory) -> Memory:
        if not isinstance(hx, tuple | list) or len(hx) != 3:
            raise InputError("hx must be a tuple of three tensors, C, n and m, as an earlier call returned them.")
        for name, given, expected in zip(("C", "n", "m"), hx, empty, strict=True):
            if not isinstance(given, Tensor) or given.shape != expected.shape:
                got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise InputError(f"state {name} is {got}; expected {tuple(expected.shape)}.")
            if given.dtype != expected.dtype:
                raise InputError(f"state {name} is {given.dtype}; expected {expected.dtype}: it adds up over time.")
        C, n, m = hx
        return C, n, m

    def extra_repr(self) -> str:
        """The sizes, and the arguments that differ from their defaults."""
        return f"{self.input_size}, {self.hidden_size}, num_heads={self.num_heads}, key_size={self.key_size}"
