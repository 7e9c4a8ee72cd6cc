"""Flags from the signature of a method and the Args of its docstring."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from gatework.cli.main import Parser
from gatework.cli.parameters import add_parameters, flags, parameters
from gatework.errors import ConfigError


class Machine:
    def make(
        self,
        what: Any,
        count: "int" = 3,
        share: "float | None" = None,
        loud: "bool" = False,
        stop: "Sequence[str]" = (),
        kind: 'Literal["round", "square"]' = "round",
        place: "str | Path | None" = None,
    ) -> str:
        """Make things.

        Args:
            what: the thing.
            count: how many,
                over two lines.
            share, loud: 50 % of it.
            stop: words.
            kind: its form.
            place: where.

        Returns:
            nothing to see.
        """
        return f"{what}"


def parsed(*words: str) -> dict[str, Any]:
    parser = Parser("machine", "")
    add_parameters(parser, Machine().make)
    return parameters(Machine().make, parser.parse_args(words))


def test_what_is_not_given_is_left_to_the_method():
    assert parsed() == {}


def test_each_kind_of_parameter():
    words = ["--count", "5", "--share", ".5", "--no-loud", "--stop", "a", "--stop", "b c", "--kind", "square"]
    expected = {"count": 5, "share": 0.5, "loud": False, "stop": ["a", "b c"], "kind": "square", "place": "x.txt"}
    assert parsed(*words, "--place", "x.txt") == expected


@pytest.mark.parametrize("words", [["--count", "many"], ["--kind", "oval"], ["--share"]])
def test_values_that_do_not_fit_are_refused(words: list[str]):
    with pytest.raises(ConfigError, match=words[0]):
        parsed(*words)


def test_help_comes_from_the_docstring():
    parser = argparse.ArgumentParser()
    add_parameters(parser, Machine().make, leave=("place",))
    text = " ".join(parser.format_help().split())
    assert "--count N how many, over two lines." in text
    assert "50 % of it." in text
    assert "nothing to see" not in text and "--place" not in text and "--what" not in text
    assert flags(Machine().make, leave=("place",)) == ["--count", "--share", "--loud", "--stop", "--kind"]
