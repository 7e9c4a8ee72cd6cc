"""Features of a transformer that lies in a folder of the user's; nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gatework.errors import InputError
from gatework.say import once
from gatework.tasks.text.transformer_features import TransformerFeatures

_PIECES = 16  # of a word that are read; what is longer is no word
_LIMIT = 512  # pieces that it sees at once where its files do not say
_RESERVED = 2  # positions that models of RoBERTa's kind leave out
_EXPECTED = "expected a folder with config.json, model.safetensors and a tokenizer, as `save_pretrained` writes it"


class Transformer:
    """A transformer and its tokeniser in a local folder.

    Args:
        folder: where `config.json`, `model.safetensors` and the tokeniser's files are.

    Raises:
        InputError: the package `transformers` is not installed, or the folder is missing or holds no such model.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise InputError(f"transformer {str(folder)!r} is no folder here; {_EXPECTED}. Nothing is downloaded.")
        if not (self.folder / "config.json").is_file():
            raise InputError(f"the folder {self.folder} has no config.json; {_EXPECTED}.")
        if not any(self.folder.glob("*.safetensors")):
            raise InputError(f"the folder {self.folder} has no weights in safetensors; {_EXPECTED}.")
        for path in self.folder.glob("*.json"):
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{path} is not JSON ({error}); get the file again.") from error
        _package()

    @cached_property
    def tokeniser(self) -> Any:
        """The tokeniser, which cuts words into pieces."""
        kind = _package().AutoTokenizer
        with self._loading("tokenizer"):
            return kind.from_pretrained(self.folder, local_files_only=True, add_prefix_space=True)

    def pieces(self, words: Sequence[str]) -> Tensor:
        """The pieces of each word, [U, P]: their ids + 1, padded with 0; of a very long word the first 16.

        A word without pieces gets the tokeniser's unknown one where it has that, else a row of zeros.
        """
        if not words:
            return torch.zeros((0, 1), dtype=torch.long)
        unknown = self.tokeniser.unk_token_id
        blank = [] if unknown is None else [unknown]
        found = self.tokeniser(list(words), add_special_tokens=False)["input_ids"]
        rows = [torch.tensor((row or blank)[:_PIECES], dtype=torch.long) + 1 for row in found]
        return nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def features(self, fine_tune: bool = False) -> TransformerFeatures:
        """The model as a module for `Backbone`, loaded anew.

        Raises:
            InputError: the weights are not those of the configuration, or the model is an encoder with a decoder.
        """
        kind = _package().AutoModel
        with self._loading("model"):
            model, told = kind.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
        if model.config.is_encoder_decoder:
            raise InputError(f"{self.folder} holds an encoder with a decoder; expected one or the other alone.")
        missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise InputError(f"{self.folder} has no weights for {missing[0]} ({len(missing)} missing); {_EXPECTED}.")
        found = TransformerFeatures(model, self._around(), self._limit(model), self._hash(), fine_tune)
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        does = (
            f"{'trained too' if fine_tune else 'frozen'}, reads {'from left to right' if found.causal else 'both ways'}"
        )
        once(f"transformer {self.folder}", f"transformer {self.folder}: {millions:.1f} million parameters, {does}")
        return found

    def _around(self) -> tuple[list[int], list[int]]:
        """Ids of the special pieces that the tokeniser puts before and after a text."""
        whole, bare = (self.tokeniser("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        starts = (place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
        at = next(starts, None)
        if at is None:
            raise InputError(
                f"the tokenizer in {self.folder} cuts a word otherwise at the ends of a text; take another."
            )
        return whole[:at], whole[at + len(bare) :]

    def _limit(self, model: nn.Module) -> int:
        """Pieces that the model sees at once, special ones included."""
        most = getattr(model.config, "max_position_embeddings", None)
        return min(int(self.tokeniser.model_max_length), (most or _LIMIT + _RESERVED) - _RESERVED)

    def _hash(self) -> bytes:
        """What tells this transformer from others."""
        found = hashlib.sha256()
        for path in sorted([*self.folder.glob("*.json"), *self.folder.glob("*.safetensors")]):
            with path.open("rb") as file:
                found.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return found.digest()

    @contextmanager
    def _loading(self, part: str) -> Iterator[None]:
        """Without the package's own words and bars; what goes wrong becomes an InputError."""
        logging = _package().utils.logging
        level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, SafetensorError) as error:
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(f"the {part} in {self.folder} cannot be loaded ({why}); {_EXPECTED}.") from error
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()


def _package() -> ModuleType:
    """The package `transformers`."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise InputError("a transformer's features need transformers: pip install transformers.") from error
    return transformers
