"""Packed files, and bytes that are no text."""

import gzip
import lzma

import pandas as pd
import pytest

from gatework.data.files import read_file
from gatework.errors import InputError

FRAME = pd.DataFrame({"ds": ["2024-01-01", "2024-01-02"], "y": [1.0, 2.5]})


@pytest.mark.parametrize("pack", [None, gzip, lzma])
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_packed_files(tmp_path, pack, ending):
    data = (FRAME.to_csv(index=False) if ending == ".csv" else FRAME.to_json(orient="records", lines=True)).encode()
    path = tmp_path / f"a{ending}{ {None: '', gzip: '.gz', lzma: '.xz'}[pack] }"
    path.write_bytes(pack.compress(data) if pack else data)
    pd.testing.assert_frame_equal(read_file(path), FRAME, check_dtype=False)


@pytest.mark.parametrize("pack", [gzip, lzma])
def test_a_byte_that_is_no_text_is_counted_in_what_is_unpacked(tmp_path, pack):
    path = tmp_path / {gzip: "a.csv.gz", lzma: "a.csv.xz"}[pack]
    path.write_bytes(pack.compress(b"ds,y\n2024-01-01,\xe9\n"))
    with pytest.raises(InputError, match=r"line 2 holds the byte 0xe9 \(byte 17 of the file\)"):
        read_file(path)
