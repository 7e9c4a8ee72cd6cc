"""The settings that say where tags stand in the data and what they spell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from gatework.data.text import Tagged

PERCENT = 10
"""Of the sentences are held out where nothing else is said."""

Scheme = Literal["auto", "plain", "BIO", "IOB1", "BIOES", "BILOU"]


class TagSettings(BaseModel):
    """Where the tags stand and what they spell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token_column: str | None = Field(
        default=None, description="column of the tokens, by its name or its number from 1; none = the first"
    )
    tag_column: str | None = Field(
        default=None, description="column of the tags, by its name or its number from 1; none = the last"
    )
    letters: bool | Literal["auto"] = Field(
        default="auto", description="each letter of a table's cell is a token; auto = where each has as many tags"
    )
    scheme: Scheme = Field(
        default="auto", description="how tags spell entities; plain = each tag stands for itself; auto = from the tags"
    )
    inside: Literal["auto", "BIO", "BIOES"] = Field(
        default="auto", description="scheme of entities inside the network; auto = BIOES, which marks their ends"
    )
    repair: bool = Field(
        default=False, description="mend illegal tags (an I-X that continues nothing becomes B-X) instead of refusing"
    )

    def read(self, source: Any, labelled: bool = True) -> Tagged:
        """The sentences of `source` as `gatework.data.text.read_tagged` gives them."""
        from gatework.data.text.tagged import read_tagged

        letters = None if self.letters == "auto" else self.letters
        columns = _column(self.token_column), _column(self.tag_column)
        return read_tagged(source, *columns, labelled=labelled, letters=letters)


def _column(name: str | None) -> str | int | None:
    """A column's name, or its number from 1."""
    return int(name) if name is not None and name.isdecimal() else name
