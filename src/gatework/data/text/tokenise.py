"""Raw text to words and back: punctuation is kept as tokens, any script is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from itertools import chain

import numpy as np

# Scripts without spaces between words: each of their letters is a token.
_DENSE = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_CHUNK = 1000  # characters; what is longer is no word and is not remembered
_JOINERS = (0x200C, 0x200D)  # shape letters in Persian and Indic scripts, and join emoji
_QUOTE = "['\u2019]"
_CLOSING = re.compile(rf" (n{_QUOTE}t|{_QUOTE}(?:s|re|ve|d|ll|m)|[.,:;!?%)\]}}»”…]+)(?!\S)")
_OPENING = re.compile(r"(?<!\S)([(\[{«“$£€#@]) ")


def words(text: str) -> list[str]:
    """The words of a text.

    No word reaches over white space, which falls away, line breaks among it. A word is a run of letters, their marks
    and digits. English clitics are cut off as in the Penn Treebank (do | n't, it | 's); numbers keep their inner marks
    (3.14, 10:30); a run of one punctuation mark is one token (..., !!!), so are emoticons :-) and tags such as <br/>;
    each letter of a script without spaces (Han, Kana, Thai, Khmer ...) is a token.

    Example:
        >>> words("It isn't 3.14, is it?!")
        ['It', 'is', "n't", '3.14', ',', 'is', 'it', '?', '!']
    """
    chunks = chunks_of(text)
    cut = _remembered if max(map(len, chunks), default=0) <= _CHUNK else cut_chunk
    return list(chain.from_iterable(map(cut, chunks)))


def chunks_of(text: str) -> list[str]:
    """The runs of a text between white space; "<br />" is one of them, as "<br/>"."""
    return text.replace(" />", "/>").split()


def word_places(text: str) -> list[tuple[int, int]]:
    """Where each word of `words` begins and ends in the text."""
    return [match.span() for match in _pattern().finditer(text)]


def cut_chunk(chunk: str) -> tuple[str, ...]:
    """The words of a text without white space."""
    return tuple(_pattern().findall(chunk))


_remembered = lru_cache(maxsize=1 << 16)(cut_chunk)  # few chunks make up most of any text


def lower_case(text: str) -> str:
    """The text in small letters, as many characters as before."""
    return text.replace("\u0130", "i").lower()  # the one letter that would become two


def join_words(tokens: Sequence[str]) -> str:
    """Words as a line of text: one space between them, none before closing and after opening punctuation.

    Example:
        >>> join_words(["It", "is", "n't", "(", "quite", ")", "so", "."])
        "It isn't (quite) so."
    """
    # twice: a match takes the space that the next one would need
    line = _CLOSING.sub(r"\1", _CLOSING.sub(r"\1", " ".join(tokens)))
    return _OPENING.sub(r"\1", line)


def look_spaced(texts: Iterable[str], most: int = 1000) -> bool:
    """Whether texts are tokenised already: of the first `most`, those with a full stop or comma have it between spaces.

    True for "wo n't sit still ." and for texts without any such mark; False for "won't sit still."
    """
    attached = re.compile(r"[^\W\d_][,.!?;](?:\s|$)")
    seen = [text for text, _ in zip(texts, range(most), strict=False)]
    return sum(attached.search(text) is not None for text in seen) <= 0.02 * len(seen)


@cache
def _pattern() -> re.Pattern[str]:
    """One expression for all tokens, the most frequent kind first; possessive (++), so that no word is read twice."""
    letters = _letters()
    letter, initial = f"[{letters}0-9]", f"[{letters}]"
    mark = f"[{_ranges(_is_mark)}]"
    dense = "".join(f"{chr(first)}-{chr(last)}" for first, last in _DENSE)
    return re.compile(
        rf"{initial}{letter}*+(?!{_QUOTE}[tT])"
        rf"|{initial}{letter}*?(?=[nN]{_QUOTE}[tT](?!{letter}))|[nN]{_QUOTE}[tT](?!{letter})|{initial}{letter}*+"
        rf"|[0-9]++(?:[.,:][0-9]++)*+(?!{initial})|{letter}++"
        rf"|{_QUOTE}(?:[sS]|[rR][eE]|[vV][eE]|[dD]|[lL][lL]|[mM])(?!{letter})"
        rf"|[{dense}]{mark}*"
        r"|</?\w+(?: ?/)?>"  # <unk>, <br/>
        r"|[:;=][-']?[()\[\]DdPp](?!\w)"
        rf"|[.]++|!++|\?++|-++|\*++|=++|[^\w\s]{mark}*"
    )


@cache
def _letters() -> str:
    """Letters, marks (which Python's class of word characters lacks) and digits but 0-9, of scripts with spaces."""
    dense = {code for first, last in _DENSE if last < 0x20000 for code in range(first, last + 1)}
    plain = _ranges(lambda code: (chr(code).isalnum() or code == 0x5F or _is_mark(code)) and code not in dense)
    return plain.replace("0-9", "", 1)


def _is_mark(code: int) -> bool:
    return code in _JOINERS or unicodedata.category(chr(code)).startswith("M")


def _ranges(belongs: Callable[[int], bool]) -> str:
    """The characters for which `belongs` holds, as ranges; planes above 1 hold no others than Han and selectors."""
    codes = np.array([code for code in (*range(0x30, 0x1F000), *range(0xE0100, 0xE01F0)) if belongs(code)])
    breaks = np.flatnonzero(np.diff(codes) != 1) + 1
    return "".join(f"{chr(run[0])}-{chr(run[-1])}" for run in np.split(codes, breaks))
