"""Artefacts that are missing, damaged, foreign or tampered with are refused, each with what came and how to mend it."""

import json
import os
import struct

import pytest
import torch

from gatework.errors import ArtefactError
from gatework.run import Run
from gatework.run.tensors import HEADER_LIMIT

EXPECTED = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}


@pytest.fixture
def run(tmp_path):
    run = Run.create("forecaster", tmp_path)
    run.write_json("model/config.json", {"hidden": 8})
    run.write_tensors("model/w.safetensors", EXPECTED)
    return run


def safetensors_bytes(header, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(**changes):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


NOT_RUNS = {
    "missing": (lambda path: None, "does not exist; expected a run folder"),
    "a file": (lambda path: path.write_text("x"), "is not a run folder"),
    "an empty folder": (lambda path: path.mkdir(), r"is not a run folder \(it has no run.json\)"),
    "other json": (lambda path: (path.mkdir(), (path / "run.json").write_text('{"a": 1}')), "format None"),
    "a later format": (
        lambda path: (path.mkdir(), (path / "run.json").write_text('{"format": 99, "task": "forecaster"}')),
        r"format 99; this Gatework reads format 1. Use the version",
    ),
    "format as text": (
        lambda path: (path.mkdir(), (path / "run.json").write_text('{"format": "1", "task": "x"}')),
        "format '1'",
    ),
    "no task": (lambda path: (path.mkdir(), (path / "run.json").write_text('{"format": 1}')), "does not name its task"),
    "a list": (lambda path: (path.mkdir(), (path / "run.json").write_text("[1]")), "holds list; an object"),
}


@pytest.mark.parametrize("case", NOT_RUNS)
def test_what_is_not_a_run_folder(tmp_path, case):
    make, message = NOT_RUNS[case]
    make(tmp_path / "runs")
    with pytest.raises(ArtefactError, match=message) as caught:
        Run.open(tmp_path / "runs")
    assert str(tmp_path) in str(caught.value)


BAD_JSON = {
    "cut short": (b'{"format": 1, "hid', r"not JSON: line 1, column 15.*restore it"),
    "a key twice": (b'{"format": 1, "hidden": 8, "hidden": 9}', "key 'hidden' comes twice"),
    "a key twice inside": (b'{"format": 1, "a": {"b": 1, "b": 2}}', "key 'b' comes twice"),
    "NaN": (b'{"format": 1, "hidden": NaN}', "NaN is not a JSON number"),
    "infinity": (b'{"format": 1, "hidden": -Infinity}', "-Infinity is not a JSON number"),
    "a huge integer": (b'{"format": 1, "hidden": ' + b"9" * 5000 + b"}", "restore it"),
    "not UTF-8": (b'{"format": 1, "a": "\xff"}', r"not UTF-8 text \(byte 20\)"),
    "nested without end": (b'{"format": 1, "a":' + b"[" * 200_000, "nested too deeply|not JSON"),
    "empty": (b"", "not JSON"),
    "format true": (b'{"format": true}', "format True"),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_is_refused(run, case):
    data, message = BAD_JSON[case]
    run.path_of("model/config.json").write_bytes(data)
    with pytest.raises(ArtefactError, match=message) as caught:
        run.read_json("model/config.json")
    assert "config.json" in str(caught.value)


def test_huge_json_is_refused_before_parsing(run, monkeypatch):
    monkeypatch.setattr("gatework.run.jsonfile.LIMIT", 100)
    run.path_of("model/config.json").write_bytes(b'{"format": 1, "a": "' + b"x" * 200 + b'"}')
    with pytest.raises(ArtefactError, match=r"has 222 bytes; at most 100"):
        run.read_json("model/config.json")


def test_a_huge_file_is_refused_before_reading(run):
    with run.path_of("model/w.safetensors").open("r+b") as file:
        file.truncate(5 * 1024**3)  # sparse: no such space is used
    with pytest.raises(ArtefactError, match=r"has 5368709120 bytes; at most"):
        run.read_tensors("model/w.safetensors")


BAD_TENSORS = {
    "empty file": (b"", "0 bytes, too few"),
    "seven bytes": (b"1234567", "7 bytes, too few"),
    "header longer than the file": (
        struct.pack("<Q", 10**6) + b"{}",
        r"claims a header of 1000000 bytes in a file of 10",
    ),
    "header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", "claims a header of 9223372036854775808"),
    "header not JSON": (safetensors_bytes(b"{nope}", b""), "header of .* is not JSON"),
    "header a list": (safetensors_bytes([1], b""), "holds list"),
    "a tensor twice": (
        safetensors_bytes(b'{"w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"w":1}', b""),
        "key 'w' comes twice",
    ),
    "unknown dtype": (safetensors_bytes(entry(dtype="F31"), b"8bytes!!"), "dtype F31; known are BOOL"),
    "dtype a list": (safetensors_bytes(entry(dtype=["F32"]), b"8bytes!!"), "in a form that safetensors does not have"),
    "negative extent": (safetensors_bytes(entry(shape=[-2]), b"8bytes!!"), "in a form that"),
    "extent as float": (safetensors_bytes(entry(shape=[2.0]), b"8bytes!!"), "in a form that"),
    "extent true": (safetensors_bytes(entry(shape=[True, 2]), b"8bytes!!"), "in a form that"),
    "extents that overflow": (
        safetensors_bytes(entry(shape=[2**40, 2**40]), b"8bytes!!"),
        "needs 4835703278458516698824704",
    ),
    "offsets beyond the file": (
        safetensors_bytes(entry(shape=[4], data_offsets=[0, 16]), b"8bytes!!"),
        "should hold 16",
    ),
    "offsets reversed": (safetensors_bytes(entry(data_offsets=[8, 0]), b"8bytes!!"), "offsets 8..0"),
    "shape and offsets disagree": (safetensors_bytes(entry(shape=[3]), b"8bytes!!"), "needs 12 bytes"),
    "a hole": (safetensors_bytes(entry(data_offsets=[4, 12]), b"12bytes!!!!!"), "leave a hole at byte 0"),
    "overlap": (
        safetensors_bytes({**entry(), "v": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, b"12bytes!!!!!"),
        "overlap or leave a hole",
    ),
    "bytes at the end": (
        safetensors_bytes(entry(), b"8bytes!!more"),
        "should hold 8 bytes of tensor data and holds 12",
    ),
    "an entry too many": (safetensors_bytes({"w": {**entry()["w"], "url": "x"}}, b"8bytes!!"), "in a form that"),
    "metadata not texts": (
        safetensors_bytes({**entry(), "__metadata__": {"a": 1}}, b"8bytes!!"),
        "not a table of texts",
    ),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_safetensors_that_are_refused(run, case):
    data, message = BAD_TENSORS[case]
    run.path_of("model/w.safetensors").write_bytes(data)
    with pytest.raises(ArtefactError, match=message) as caught:
        run.read_tensors("model/w.safetensors")
    assert "w.safetensors" in str(caught.value)


@pytest.mark.parametrize("name", ["model/w.safetensors", "model/config.json", "run.json"])
def test_every_changed_byte_is_refused_or_harmless(run, name):
    """Each byte in turn gets a bit flipped, is removed, or is doubled; nothing but ArtefactError may come of it."""
    path = run.path_of(name)
    whole = path.read_bytes()
    refused = 0
    for place in range(len(whole)):
        flipped = bytes([whole[place] ^ (1 << place % 8)])
        for piece in (flipped, b"", whole[place : place + 1] * 2):
            path.write_bytes(whole[:place] + piece + whole[place + 1 :])
            try:
                if name == "run.json":
                    assert Run.open(run.path).facts.keys()
                elif name == "model/config.json":
                    run.read_json(name)
                else:
                    back = run.read_tensors(name, EXPECTED)
                    assert {key: tensor.shape for key, tensor in back.items()} == {
                        key: tensor.shape for key, tensor in EXPECTED.items()
                    }
            except ArtefactError:
                refused += 1
    assert refused > len(whole) / 4


def test_a_header_above_the_limit(run):
    header = b'{"__metadata__":{"a":"' + b"x" * HEADER_LIMIT + b'"}}'
    run.path_of("model/w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ArtefactError, match=f"at most {HEADER_LIMIT}"):
        run.read_tensors("model/w.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weight": torch.zeros(2, 3)}, "missing bias; not expected none"),
        ({**EXPECTED, "extra": torch.zeros(1)}, "missing none; not expected extra"),
        ({**EXPECTED, "weight": torch.zeros(3, 2)}, r"'weight' has shape \[3, 2\].*the model's has \[2, 3\]"),
        (
            {**EXPECTED, "bias": torch.zeros(2, dtype=torch.float64)},
            r"torch.float64; the model's has \[2\] and torch.float32",
        ),
    ],
)
def test_tensors_of_another_model(run, tensors, message):
    run.write_tensors("model/w.safetensors", tensors)
    with pytest.raises(ArtefactError, match=message):
        run.read_tensors("model/w.safetensors", EXPECTED)


@pytest.mark.parametrize(
    "name", ["../run.json", "model/../../x", "/etc/passwd", "", "model\\w", "a\0b", "..", "link/x", "link", "file-link"]
)
def test_names_that_lead_out_of_the_folder(run, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("secret")
    (run.path / "link").symlink_to(outside)
    (run.path / "file-link").symlink_to(outside / "x")
    for act in (run.path_of, run.read_text, lambda n: run.write_text(n, "new"), lambda n: run.append_text(n, "new")):
        with pytest.raises(ArtefactError, match=r"not a name inside a run folder|is a symbolic link"):
            act(name)
    assert (outside / "x").read_text() == "secret"
    assert [path.name for path in outside.iterdir()] == ["x"]


def test_a_pipe_in_place_of_a_file_does_not_hang(run):
    run.path_of("model/config.json").unlink()
    os.mkfifo(run.path_of("model/config.json"))
    with pytest.raises(ArtefactError, match="not a regular file"):
        run.read_json("model/config.json")


def test_a_missing_file_is_named(run):
    run.path_of("model/w.safetensors").unlink()
    with pytest.raises(ArtefactError, match=r"w\.safetensors is missing.*restore the file"):
        run.read_tensors("model/w.safetensors")
