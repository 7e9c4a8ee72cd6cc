"""The exact-resume checkpoint of a run, in its folder `last/`.

Each save writes a new generation (two files), makes it durable, and only then moves `current.json`, which names the
generation and the SHA-256 of its files, over the old one. A kill at any moment leaves the old checkpoint or the new
one, complete; files that no `current.json` names are leftovers and are removed by the next save.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from gatework.errors import ArtefactError
from gatework.run import durable, jsonfile, nesting, tensors
from gatework.run.reading import read_file

_POINTER = "current.json"


class Checkpoint:
    """The checkpoint in `folder` (made by the first save).

    run.checkpoint.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": 120})
    state = run.checkpoint.load()          # equal to what was saved, or None when there is none
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, state: Any) -> None:
        """Replace the checkpoint by `state`: any nesting of dict, list, tuple, int, float, bool, str, None and Tensor.

        Raises:
            StorageError: the disk is full or may not be written; the earlier checkpoint stays.
            TypeError: `state` holds something else.
        """
        value, named = nesting.pack(state)
        durable.make_folder(self.folder)
        generation = self._generation() + 1
        files = {
            f"{generation:08d}.json": jsonfile.encode({"format": jsonfile.FORMAT, "state": value}, indent=None),
            f"{generation:08d}.safetensors": tensors.encode(named),
        }
        for name, data in files.items():
            durable.write(self.folder / name, data)
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        pointer = {"format": jsonfile.FORMAT, "generation": generation, "sha256": hashes}
        durable.write(self.folder / _POINTER, jsonfile.encode(pointer))
        self._remove_all_but(files.keys() | {_POINTER})

    def load(self) -> Any | None:
        """The state last saved; None when nothing was saved yet.

        Raises:
            ArtefactError: a file is missing or is not the one that was saved.
        """
        if not (self.folder / _POINTER).is_file():
            return None
        pointer = self._pointer()
        generation, hashes = pointer["generation"], pointer["sha256"]
        content = {}
        for suffix in ("json", "safetensors"):
            name = f"{generation:08d}.{suffix}"
            data = read_file(self.folder / name)
            if hashes.get(name) != hashlib.sha256(data).hexdigest():
                raise ArtefactError(
                    f"{self.folder / name} is not the file that was saved (its SHA-256 differs from {_POINTER}). "
                    "It is damaged or was changed; restore it, or train again with `fit`."
                )
            content[suffix] = data
        what = str(self.folder / f"{generation:08d}")
        value = jsonfile.checked(jsonfile.decode(content["json"], f"{what}.json"), f"{what}.json")
        return nesting.unpack(value.get("state"), tensors.decode(content["safetensors"], f"{what}.safetensors"))

    def _pointer(self) -> dict[str, Any]:
        path = self.folder / _POINTER
        pointer = jsonfile.checked(jsonfile.decode(read_file(path), str(path)), str(path))
        if type(pointer.get("generation")) is not int or not isinstance(pointer.get("sha256"), dict):
            raise ArtefactError(f"{path} does not name a generation and its hashes. It is damaged; restore it.")
        return pointer

    def _generation(self) -> int:
        """The number of the present checkpoint, 0 when there is none."""
        return int(self._pointer()["generation"]) if (self.folder / _POINTER).is_file() else 0

    def _remove_all_but(self, keep: set[str]) -> None:
        durable.sweep(self.folder)
        for pattern in ("*.json", "*.safetensors"):
            for path in self.folder.glob(pattern):
                if path.name not in keep:
                    with suppress(OSError):
                        path.unlink()
