"""Text to model rather than to classify: files as they are, their lines in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from gatework.data.packing import ending
from gatework.data.text.columns import TABLE_ENDINGS
from gatework.data.text.documents import Documents, read_documents
from gatework.data.text.folders import text_files
from gatework.data.text.textfile import read_text
from gatework.data.wording import counted
from gatework.say import say


def read_corpus(source: Any, text_column: str | int | None = None, argument: str = "data") -> Documents:
    """Texts without labels for a language model.

    Args:
        source: path of a text file, which is one text, its lines in order; folder, each text file one text; table (a
            frame, .csv, .tsv, .jsonl or .parquet), each row one text; list of texts.
        text_column: the column of a table, by name or number from 1; default: inferred and said.
        argument: what `source` is called in messages.

    Raises:
        InputError: the data cannot be used; the message names the place and how to mend it.
    """
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            files = text_files(path)
            say(f"{counted(len(files), 'text')} in {path.name}")
            return Documents([read_text(file) for file in files], None, [str(file.relative_to(path)) for file in files])
        if ending(path) not in TABLE_ENDINGS:
            return Documents([read_text(path)], None, [path.name])
    if isinstance(source, pd.Series):
        source = source.tolist()
    return read_documents(source, text_column, labelled=False, argument=argument)
