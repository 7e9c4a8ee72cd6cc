"""A page that stands alone: words with a mark that tells more without its colour than with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
body { font: 16px/1.7 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem } .about { color: #444 }
.text { white-space: pre-wrap; overflow-wrap: anywhere }
.text span { padding: .1em 0 }
.up { background: rgba(31, 95, 168, var(--share)); border-bottom: 2px solid #1f5fa8 }
.down { background: rgba(176, 102, 28, var(--share)); border-bottom: 2px dashed #b0661c }
sup { font-size: .65em; color: #333 }
table { border-collapse: collapse; font-size: .85rem } td, th { padding: .1rem .8rem .1rem 0; text-align: right }
td:first-child, th:first-child { text-align: left }
"""  # noqa: E501 - a style sheet reads best with a rule a line
_DARKEST = 0.45  # opacity of the strongest mark: the letters above it stay readable
_FAINTEST = 0.08  # share of the strongest below which a word carries no mark


def page(title: str, about: str, sections: Iterable[str]) -> str:
    """A whole HTML document that refers to nothing outside itself.

    Args:
        title: plain text.
        about: plain text, how to read it.
        sections: HTML, whose own text is escaped.
    """
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join([f"<h1>{escape(title)}</h1>", f'<p class="about">{escape(about)}</p>', *sections])
    head += f"\n<style>{_STYLE}</style>"
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def section(heading: str, *parts: str) -> str:
    """A heading (plain text) above parts that are HTML."""
    return "\n".join([f"<section><h2>{escape(heading)}</h2>", *parts, "</section>"])


def marked(
    pieces: Sequence[str],
    values: Sequence[float],
    notes: Sequence[str],
    strongest: float | None = None,
    numbered: int = 5,
) -> str:
    """Running text whose pieces are marked by their values: solid and blue above 0, dashed and brown below.

    Args:
        pieces: plain text, with the blanks that stand between them.
        values: of each piece; the size decides how dark the mark is.
        notes: of each piece, shown beside the `numbered` strongest and when one is pointed at.
        strongest: the size that is darkest; None = the largest here.
        numbered: how many pieces carry their note.
    """
    most = strongest or max((abs(value) for value in values), default=0.0)
    order = sorted(range(len(values)), key=lambda place: -abs(values[place]))
    carry = {place for place in order[:numbered] if most and abs(values[place]) >= _FAINTEST * most}
    html = []
    for place, (piece, value, note) in enumerate(zip(pieces, values, notes, strict=True)):
        share = min(abs(value) / most, 1.0) if most else 0.0
        word = piece.lstrip()
        html.append(escape(piece[: len(piece) - len(word)]))
        if share < _FAINTEST or not word:
            html.append(escape(word))
            continue
        kind = "up" if value > 0 else "down"
        beside = f"<sup>{escape(note)}</sup>" if place in carry else ""
        style = f'style="--share:{_DARKEST * share:.2f}" title="{escape(note)}"'
        html.append(f'<span class="{kind}" {style}>{escape(word)}</span>{beside}')
    return f'<p class="text">{"".join(html)}</p>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain text."""
    lines = [("th", head), *(("td", row) for row in rows)]
    cells = ["<tr>" + "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in row) + "</tr>" for kind, row in lines]
    return "<table>" + "".join(cells) + "</table>"
