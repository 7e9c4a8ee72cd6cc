"""The matrix memory of xLSTM: its definition step by step, and the same in parallel over chunks of time.

Source: Beck et al., arXiv:2405.04517 (2024), eq. 19-27 and appendix A.3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Memory = tuple[Tensor, Tensor, Tensor]


def empty_memory(like: Tensor, value_size: int) -> Memory:
    """A memory that holds nothing: C [B, N, K, V], n [B, N, K], m [B, N], zeros, for queries `like` [B, N, T, K]."""
    B, N, _, K = like.shape
    return like.new_zeros((B, N, K, value_size)), like.new_zeros((B, N, K)), like.new_zeros((B, N))


def stepwise(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, memory: Memory, eps: float = 1e-6
) -> tuple[Tensor, Memory]:
    """The definition, one step after the other; any dtype, any derivative.

    With the scale m_t = max(log sigmoid(f_t) + m_{t-1}, i_t) taken out of the memory, so that no exponential overflows:
    C_t = f' C_{t-1} + i' k_t v_t^T, n_t = f' n_{t-1} + i' k_t with f' = exp(log sigmoid(f_t) + m_{t-1} - m_t) and
    i' = exp(i_t - m_t); h_t = C_t^T q' / (max(|n_t q'|, exp(-m_t)) + eps) with q' = q_t / sqrt(K). What comes out does
    not depend on m but for rounding and eps, so m is not differentiated.

    Args:
        q: queries [B, N, T, K] of N heads.
        k: keys [B, N, T, K].
        v: values [B, N, T, V].
        i: input gates before their function, [B, N, T]; -inf writes nothing.
        f: forget gates before their function, [B, N, T]; inf forgets nothing.
        memory: C, n, m as `empty_memory` makes them, or as returned by an earlier call.
        eps: added to the normaliser, >= 0.

    Returns:
        h [B, N, T, V] and the memory after the last step.
    """
    C, n, m = memory
    q, log_f = q / math.sqrt(q.shape[-1]), F.logsigmoid(f)
    outputs = []
    for t in range(q.shape[2]):
        new_m = torch.maximum(log_f[..., t] + m, i[..., t]).detach()
        keep, write = (log_f[..., t] + m - new_m).exp(), (i[..., t] - new_m).exp()
        kt, vt, qt = k[:, :, t], v[:, :, t], q[:, :, t]
        C = keep[..., None, None] * C + write[..., None, None] * (kt[..., :, None] * vt[..., None, :])
        n = keep[..., None] * n + write[..., None] * kt
        m = new_m
        found = (qt[..., None, :] @ C).squeeze(-2)  # [B, N, V]
        weight = torch.maximum((qt * n).sum(-1).abs(), (-m).exp()) + eps
        outputs.append(found / weight[..., None])
    return (torch.stack(outputs, 2) if outputs else v[:, :, :0]), (C, n, m)


def chunkwise(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, memory: Memory, eps: float = 1e-6, chunk: int = 64
) -> tuple[Tensor, Memory]:
    """What `stepwise` returns, in parallel over time: products within chunks, the memory passed from chunk to chunk.

    Arguments and results as for `stepwise`; `chunk` >= 1 is the number of steps taken together, and need not divide T.
    Sums of log sigmoid(f) are taken in double precision: a nearly closed gate would cost those after it their digits.
    """
    T = q.shape[2]
    L = min(chunk, T)
    rest = -T % L
    if rest:  # steps that write nothing and forget nothing
        q, k, v = (F.pad(x, (0, 0, 0, rest)) for x in (q, k, v))
        i, f = F.pad(i, (0, rest), value=-math.inf), F.pad(f, (0, rest), value=math.inf)
    q, k, v, i, f = (x.reshape(*x.shape[:2], -1, L, *x.shape[3:]) for x in (q, k, v, i, f))  # [B, N, chunks, L, ...]
    q = q / math.sqrt(q.shape[-1])
    gates = _Gates(i, f, memory[2], q.dtype)
    written = (k * gates.write[..., None]).transpose(-1, -2) @ v  # what each chunk alone leaves, [B, N, chunks, K, V]
    keys = (k * gates.write[..., None]).sum(-2)
    C, n = memory[:2]
    all_C, all_n = [], []
    for c in range(q.shape[2]):
        all_C.append(C)
        all_n.append(n)
        C = gates.keep[:, :, c, None, None] * C + written[:, :, c]
        n = gates.keep[:, :, c, None] * n + keys[:, :, c]
    within = (q @ k.transpose(-1, -2)) * gates.within
    q = q * gates.before[..., None]
    found = within @ v + q @ torch.stack(all_C, 2)
    weight = within.sum(-1) + (q * torch.stack(all_n, 2)[..., None, :]).sum(-1)
    weight = torch.maximum(weight.abs(), (-gates.scale).exp()) + eps
    h = (found / weight[..., None]).flatten(2, 3)
    return (h[:, :, :T] if rest else h), (C, n, gates.last_scale)


class _Gates:
    """Factors of every step from its gates [B, N, chunks, L] and the scale m [B, N] that the memory begins with.

    Attributes:
        within: [..., L, L] of an earlier step's write in a later step of the same chunk; zero above the diagonal.
        before: [..., L] of the memory before the chunk in a step.
        write: [..., L] of a step's write in the memory after the chunk.
        keep: [...] of the memory before the chunk in the one after it.
        scale: [..., L] m_t; `last_scale` [B, N] that of the memory in the end.
    """

    def __init__(self, i: Tensor, f: Tensor, m: Tensor, dtype: torch.dtype) -> None:
        forgotten = F.logsigmoid(f.double()).cumsum(-1)  # within the chunk, up to and with each step
        i, whole = i.double(), forgotten[..., -1]
        with torch.no_grad():
            highest = forgotten + (i - forgotten).cummax(-1).values
            scales = [m]
            for c in range(f.shape[2]):  # kept in the memory's own precision, since they are part of it
                following = torch.maximum(whole[:, :, c] + scales[-1].double(), highest[:, :, c, -1])
                scales.append(following.to(m.dtype))
            first, last = (torch.stack(s, 2).double() for s in (scales[:-1], scales[1:]))
            scale = torch.maximum(forgotten + first[..., None], highest)
        gaps = forgotten[..., :, None] + (i - forgotten)[..., None, :] - scale[..., None]
        above = torch.ones(gaps.shape[-2:], dtype=torch.bool, device=gaps.device).triu(1)
        self.within = gaps.to(dtype).masked_fill(above, -math.inf).exp()
        self.before = (forgotten + first[..., None] - scale).to(dtype).exp()
        self.write = (i - forgotten + (whole - last)[..., None]).to(dtype).exp()
        self.keep = (whole + first - last).to(dtype).exp()
        self.scale, self.last_scale = scale.to(dtype), scales[-1]
