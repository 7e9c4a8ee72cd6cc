"""The speed of writing text: a row for a model, and the checks that time and memory do not grow with the text."""

import generation_speed
import pytest

from gatework.data.text import learn_vocabulary


def test_a_row_beside_the_plain_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation_speed, "TOKENS", 60)
    monkeypatch.setattr(generation_speed, "FIRST", 20)
    monkeypatch.setattr(generation_speed, "TIME", 1000.0)  # so few tokens tell nothing
    row = generation_speed._row("char 1x8", learn_vocabulary("char", ["abcdef"]), 4, 8, 1)
    assert row["shape"] == "char 1x8 V9"
    assert row["ratio"] == pytest.approx(row["peer_median"] / row["median"])
    assert 0 < row["median"] < 1000


def test_time_that_grows_is_found() -> None:
    flat, growing = [1.0] * 80, [1.0 + place / 40 for place in range(80)]
    assert generation_speed._slower([flat, growing]) == 1  # one quiet run is enough
    with pytest.raises(SystemExit, match=r"take 2\.\d\d times as long"):
        generation_speed._slower([growing])


@pytest.mark.skipif(not generation_speed._STATM.exists(), reason="no file tells how much memory the process holds")
def test_memory_that_grows_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    def hoarding(size: int):
        for _ in range(generation_speed.TOKENS):
            held.append(bytearray(size))
            yield ""

    monkeypatch.setattr(generation_speed, "TOKENS", 60)
    monkeypatch.setattr(generation_speed, "FIRST", 20)
    assert generation_speed._more(hoarding(1)) <= 1024
    with pytest.raises(SystemExit, match="the process grew by"):
        generation_speed._more(hoarding(1 << 20))
