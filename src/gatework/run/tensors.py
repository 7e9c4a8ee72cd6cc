"""Named tensors as safetensors bytes, with everything checked before anything is allocated or parsed by others."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from gatework.errors import ArtefactError
from gatework.run import jsonfile

HEADER_LIMIT = 16 * 1024 * 1024  # bytes
_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def encode(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The safetensors bytes of `tensors`; views and tensors that share memory are stored each on its own."""
    stored = {}
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES.values():
            raise TypeError(
                f"tensor {name!r} has dtype {tensor.dtype}; storable are {', '.join(map(str, _DTYPES.values()))}"
            )
        stored[name] = tensor.detach().cpu().contiguous().clone()
    return safetensors.torch.save(stored, metadata=dict(metadata) if metadata else None)


def decode(data: bytes, what: str, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors in `data`; `what` names the file in errors.

    Args:
        data: the whole file.
        what: the file's name.
        expected: tensors whose names, shapes and dtypes the file must have, e.g. `module.state_dict()`.

    Raises:
        ArtefactError: header too large or damaged, offsets that do not tile the file, other names, shapes or dtypes.
    """
    header = _header(data, what)
    if expected is not None:
        _compare(header, expected, what)
    return safetensors.torch.load(data)


def metadata(data: bytes, what: str) -> dict[str, str]:
    """The text entries stored beside the tensors in `data`."""
    _header(data, what)
    length = struct.unpack("<Q", data[:8])[0]
    return dict(jsonfile.decode(data[8 : 8 + length], f"the header of {what}").get("__metadata__", {}))


def _header(data: bytes, what: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Type and shape of each tensor, after checking that the header is sound and its offsets tile the data exactly."""
    if len(data) < 8:
        raise ArtefactError(
            f"{what} has {len(data)} bytes, too few for a safetensors file. It was cut short; restore it."
        )
    length = struct.unpack("<Q", data[:8])[0]
    if length > min(HEADER_LIMIT, len(data) - 8):
        raise ArtefactError(
            f"{what} claims a header of {length} bytes in a file of {len(data)}; at most {HEADER_LIMIT} and no more "
            "than the file holds are expected. It is damaged or not a safetensors file."
        )
    entries = jsonfile.decode(data[8 : 8 + length], f"the header of {what}")
    if not isinstance(entries, dict):
        raise ArtefactError(f"the header of {what} holds {type(entries).__name__}; an object was expected.")
    texts = entries.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ArtefactError(f"the metadata of {what} is not a table of texts. It is damaged.")
    spans, result = [], {}
    for name, entry in entries.items():
        dtype, shape, start, end = _entry(entry, name, what)
        spans.append((start, end))
        result[name] = (dtype, shape)
    position = 0
    for start, end in sorted(spans):
        if start != position:
            raise ArtefactError(f"{what}: tensor data overlap or leave a hole at byte {position}. It is damaged.")
        position = end
    if position != len(data) - 8 - length:
        raise ArtefactError(
            f"{what} should hold {position} bytes of tensor data and holds {len(data) - 8 - length}. "
            "It was cut short or added to; restore it."
        )
    return result


def _entry(entry: Any, name: str, what: str) -> tuple[torch.dtype, tuple[int, ...], int, int]:
    """The checked header entry of one tensor: dtype, shape, first and last byte."""

    def whole(value: Any) -> bool:
        return type(value) is int and 0 <= value < 2**48

    fits = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
    fits = fits and isinstance(entry["shape"], list) and all(map(whole, entry["shape"]))
    fits = fits and isinstance(entry["data_offsets"], list) and len(entry["data_offsets"]) == 2
    if not fits or not all(map(whole, entry["data_offsets"])) or not isinstance(entry["dtype"], str):
        raise ArtefactError(f"the header of {what} describes tensor {name!r} in a form that safetensors does not have.")
    if entry["dtype"] not in _DTYPES:
        raise ArtefactError(f"{what}: tensor {name!r} has dtype {entry['dtype']}; known are {', '.join(_DTYPES)}.")
    dtype, (start, end) = _DTYPES[entry["dtype"]], entry["data_offsets"]
    size = dtype.itemsize
    for extent in entry["shape"]:
        size *= extent
    if end - start != size:
        raise ArtefactError(
            f"{what}: tensor {name!r} of shape {entry['shape']} and dtype {entry['dtype']} needs {size} bytes; "
            f"its offsets {start}..{end} hold {end - start}. It is damaged."
        )
    return dtype, tuple(entry["shape"]), start, end


def _compare(
    header: Mapping[str, tuple[torch.dtype, tuple[int, ...]]], expected: Mapping[str, Tensor], what: str
) -> None:
    missing, extra = sorted(expected.keys() - header.keys()), sorted(header.keys() - expected.keys())
    if missing or extra:
        raise ArtefactError(
            f"{what} does not hold the tensors of this model: missing {_some(missing)}; not expected {_some(extra)}. "
            "It belongs to another model; restore the file that was written with this run."
        )
    for name, tensor in expected.items():
        dtype, shape = header[name]
        if shape != tuple(tensor.shape) or dtype != tensor.dtype:
            raise ArtefactError(
                f"{what}: tensor {name!r} has shape {list(shape)} and {dtype}; the model's has "
                f"{list(tensor.shape)} and {tensor.dtype}. It belongs to another model; "
                "restore the file that was written with this run."
            )


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
