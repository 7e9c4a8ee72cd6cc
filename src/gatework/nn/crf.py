"""`CRF`: a conditional random field over the tags of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gatework.compiler.chain import Tables, UnfitError
from gatework.compiler.chain import best as compiled_best
from gatework.compiler.launch import Backend, check_backend
from gatework.errors import InputError
from gatework.nn import chain, compiled_chain
from gatework.nn.compiled_chain import forbidding, serves


class CRF(nn.Module):
    """A linear-chain conditional random field: scores of each step and learned transitions make whole paths probable.

    p(y | scores) = exp(score(y)) / sum over all legal paths, where score(y) = first[y_1] + sum_t scores[t, y_t]
    + sum_t transitions[y_t-1, y_t] + last[y_T]. What is not legal has probability 0 and is never decoded.

    Args:
        tags: number K of tags, >= 1.
        legal: bool [K, K], whether the column's tag may follow the row's; None = all.
        starts: bool [K], whether a sequence may start with a tag; None = all.
        ends: bool [K], whether it may end with one; None = all.
        backend: "auto" compiles and falls back to the reference, a Python loop over time, with a word about why; "cpp"
            never falls back; "reference" is that loop.

    Raises InputError for tables of another shape, or when no sequence may start or none may end.

    Everywhere below `scores` are [B, T, K] and `lengths` [B] whole numbers in 0..T, None where all are T. What stands
    past a row's length is not looked at, and gets a gradient of 0. A row of length 0 has one path, the empty one.

    Source: Lafferty, McCallum & Pereira, Conditional random fields (ICML 2001), section 3.

    Example:
        >>> import torch
        >>> crf = CRF(3)
        >>> scores, tags = torch.zeros(2, 5, 3), torch.zeros(2, 5, dtype=torch.long)
        >>> crf.loss(scores, tags, torch.tensor([5, 2])).shape, crf.decode(scores).shape
        (torch.Size([2]), torch.Size([2, 5]))
    """

    legal: Tensor
    starts: Tensor
    ends: Tensor

    def __init__(
        self,
        tags: int,
        legal: Tensor | None = None,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
        *,
        backend: Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(tags, int) or isinstance(tags, bool) or tags < 1:
            raise InputError(f"tags is {tags!r}; expected a whole number >= 1.")
        self.tags, self.backend = tags, check_backend(backend)
        for name, table, shape in (
            ("legal", legal, (tags, tags)),
            ("starts", starts, (tags,)),
            ("ends", ends, (tags,)),
        ):
            given = torch.ones(shape, dtype=torch.bool) if table is None else torch.as_tensor(table, dtype=torch.bool)
            if given.shape != shape:
                raise InputError(f"{name} has shape {tuple(given.shape)}; expected {shape} for {tags} tags.")
            if not given.any() and name != "legal":
                raise InputError(f"{name} allows none of the {tags} tags; expected one at least.")
            self.register_buffer(name, given.clone().to(device))
        self.transitions = nn.Parameter(torch.empty(tags, tags, device=device, dtype=dtype))
        self.first = nn.Parameter(torch.empty(tags, device=device, dtype=dtype))
        self.last = nn.Parameter(torch.empty(tags, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all scores from U(-0.1, 0.1)."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.1, 0.1)

    def loss(self, scores: Tensor, tags: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """The negative log-likelihood of each row's tags, [B].

        Args:
            scores: [B, T, K].
            tags: [B, T] whole numbers in 0..K-1; past each length anything.
            lengths: [B], or None.

        Raises InputError when shapes or numbers do not fit, or a row's tags are not legal.
        """
        scores, sizes = self._shaped(scores, lengths)
        if tags.shape != scores.shape[:2] or tags.is_floating_point():
            raise InputError(
                f"tags is {tags.dtype} of shape {tuple(tags.shape)}; expected whole numbers {tuple(scores.shape[:2])}."
            )
        tags = tags.long().contiguous()
        if serves(scores, self._tables(), self.backend):
            try:
                return compiled_chain.total(scores, self._tables(), sizes, tags).to(scores.dtype)
            except UnfitError:  # what does not fit is found, and said, by the checks below
                pass
        self._check_lengths(scores, sizes)
        self._check_tags(tags, sizes)
        table = forbidding(self._tables())
        return chain.total(table, scores, sizes) - chain.path_score(table, scores, tags, sizes)

    def total(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """The logarithm of the sum of exp(score) over all legal paths, [B]; -inf where none is."""
        scores, sizes = self._shaped(scores, lengths)
        self._check_lengths(scores, sizes)
        return self._total(scores, sizes).to(scores.dtype)

    def decode(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """The most probable path of each row, [B, T] (long); 0 past its length.

        Raises InputError where no path of a row's length is legal, or its scores are not numbers.
        """
        return self._best(*self._shaped(scores, lengths), 1)[0][:, 0]

    @torch.no_grad()
    def best(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None, n: int = 5) -> tuple[Tensor, Tensor]:
        """The n most probable paths of each row, the best first.

        Args:
            scores: [B, T, K].
            lengths: [B], or None.
            n: paths wanted, >= 1.

        Returns:
            tags [B, n, T], 0 past each length, and the paths' log-probabilities [B, n]. Where fewer are legal the rest
            have -inf and tags 0.

        Raises InputError as `decode` does.
        """
        if not isinstance(n, int) or isinstance(n, bool) or n < 1:
            raise InputError(f"n is {n!r}; expected a whole number >= 1.")
        scores, sizes = self._shaped(scores, lengths)
        tags, found = self._best(scores, sizes, n)
        return tags, (found - self._total(scores, sizes)[:, None]).to(scores.dtype)

    @torch.no_grad()
    def marginals(self, scores: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """The probability of each tag at each step, [B, T, K], 0 past each length. It has no gradient.

        Raises InputError as `decode` does.
        """
        scores, sizes = self._shaped(scores, lengths)
        self._check_lengths(scores, sizes)
        if serves(scores, self._tables(), self.backend):
            found, total = compiled_chain.marginals(scores, self._tables(), sizes)
        else:
            table = forbidding(self._tables())
            found, total = chain.marginals(table, scores, sizes), chain.total(table, scores, sizes)
        self._check_found(total, sizes)
        return found

    def _total(self, scores: Tensor, lengths: Tensor) -> Tensor:
        if serves(scores, self._tables(), self.backend):
            return compiled_chain.total(scores, self._tables(), lengths)
        return chain.total(forbidding(self._tables()), scores, lengths)

    @torch.no_grad()
    def _best(self, scores: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The n best paths, and their scores."""
        self._check_lengths(scores, lengths)
        if serves(scores, self._tables(), self.backend):
            tags, found = compiled_best(scores.contiguous(), self._tables(), lengths, n)
        else:
            tags, found = chain.best(forbidding(self._tables()), scores, lengths, n)
        self._check_found(found[:, 0], lengths)
        return tags, found

    def _tables(self) -> Tables:
        return Tables(self.transitions, self.first, self.last, self.legal, self.starts, self.ends)

    def _shaped(self, scores: Tensor, lengths: Tensor | Sequence[int] | None) -> tuple[Tensor, Tensor]:
        """Scores of the parameters' dtype, and lengths as whole numbers, whose range is not looked at yet."""
        if scores.dim() != 3 or scores.shape[2] != self.tags:
            raise InputError(f"scores has shape {tuple(scores.shape)}; expected [B, T, {self.tags}].")
        if not scores.is_floating_point():
            raise InputError(f"scores is {scores.dtype}; expected floating-point numbers.")
        B, T, _ = scores.shape
        scores = scores.to(self.transitions.dtype)
        if lengths is None:
            return scores, torch.full((B,), T, dtype=torch.long, device=scores.device)
        given = torch.as_tensor(lengths, device=scores.device)
        if given.shape != (B,) or given.is_floating_point() or given.dtype == torch.bool:
            raise InputError(
                f"lengths is {given.dtype} of shape {tuple(given.shape)}; expected {B} whole numbers, one for each row."
            )
        return scores, given.long().contiguous()

    @staticmethod
    def _check_lengths(scores: Tensor, lengths: Tensor) -> None:
        T = scores.shape[1]
        if len(lengths) and not 0 <= int(lengths.min()) <= int(lengths.max()) <= T:
            raise InputError(
                f"lengths are {int(lengths.min())}..{int(lengths.max())}; expected 0..{T}, the steps of scores."
            )

    def _check_tags(self, tags: Tensor, lengths: Tensor) -> None:
        """Raise InputError for numbers that are no tags, or for the first row whose tags are not legal."""
        if not tags.numel():
            return
        inside = torch.arange(tags.shape[1], device=tags.device) < lengths[:, None]
        path = torch.where(inside, tags, 0)
        if not 0 <= int(path.min()) <= int(path.max()) < self.tags:
            raise InputError(f"tags are {int(path.min())}..{int(path.max())}; expected 0..{self.tags - 1}.")
        end = path.gather(1, (lengths - 1).clamp_min(0)[:, None])
        moves = self.legal[path[:, :-1], path[:, 1:]] | ~inside[:, 1:]
        fits = moves.all(1) & ((self.starts[path[:, 0]] & self.ends[end[:, 0]]) | (lengths == 0))
        if bool(fits.all()):
            return
        row = int((~fits).nonzero()[0])
        wrong = (~moves[row]).nonzero()
        if not self.starts[path[row, 0]]:
            what = f"no sequence may start with tag {int(path[row, 0])}"
        elif len(wrong):
            step = int(wrong[0])
            what = f"tag {int(path[row, step + 1])} may not follow tag {int(path[row, step])} (step {step + 1})"
        else:
            what = f"no sequence may end with tag {int(end[row, 0])}"
        raise InputError(f"row {row} of tags is not legal: {what}. Repair the tags, or allow it in legal/starts/ends.")

    @staticmethod
    def _check_found(found: Tensor, lengths: Tensor) -> None:
        """Raise InputError where the best score or the sum over all paths is no number."""
        bad = (~torch.isfinite(found)).nonzero()
        if len(bad):
            row = int(bad[0])
            raise InputError(
                f"row {row} has no path: none of length {int(lengths[row])} is legal, or its scores are not finite."
            )

    def extra_repr(self) -> str:
        """The number of tags and of forbidden transitions."""
        return f"{self.tags}, forbidden={int((~self.legal).sum())}"
