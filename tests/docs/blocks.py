"""Fenced code blocks of a Markdown file, each with the output that is printed below it."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```\s*?$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, text, line in the file, and the `text` block that directly follows it."""

    language: str
    text: str
    line: int
    output: str | None


def blocks(path: Path) -> list[Block]:
    """The blocks of a file in order; a `text` block right after a code block is that block's output."""
    text = path.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    result = []
    for number, match in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        output = None
        if following is not None and following[2] == "text" and not text[match.end() : following.start()].strip():
            output = textwrap.dedent(following[3])
        result.append(Block(match[2], textwrap.dedent(match[3]), text.count("\n", 0, match.start()) + 1, output))
    return result


def masked(output: str) -> str:
    """An output with its numbers and column widths taken out: those differ between machines, words must not."""
    output = re.sub(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", "#", output)
    return "\n".join(" ".join(line.split()) for line in output.strip().splitlines())
