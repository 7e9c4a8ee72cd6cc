"""Show how surprised a fitted language model is by each token of a text.

Example: gatework score runs/language-model-001 "An ordinary sentence." -o page.html
TEXT may be the name of a file. Without -o the tokens are written to standard output as a table; with it, coloured text
as a web page (.html), or the table (csv, tsv, jsonl, parquet).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a fitted language model")
    parser.add_argument("text", metavar="TEXT", help="a text, or a file that holds one")
    parser.add_argument("-o", "--output", metavar="FILE", help="html, csv, tsv, jsonl or parquet, by its ending")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    import sys
    from pathlib import Path

    from gatework.cli.flags import refuse_unknown
    from gatework.data.text import read_corpus
    from gatework.data.text.textfile import is_file_name
    from gatework.errors import ConfigError, InputError
    from gatework.run import check_output, check_place, write_frame, write_text
    from gatework.say import say
    from gatework.tasks import load
    from gatework.tasks.base import path_of
    from gatework.tasks.language_model import LanguageModel

    refuse_unknown("gatework score", rest, ("--output",))
    output, page = options.output, str(options.output or "").lower().endswith((".html", ".htm"))
    if output:
        check_place(Path(output).resolve()) if page else check_output(output)
    model = load(options.run)
    if not isinstance(model, LanguageModel):
        raise ConfigError(f"{options.run} is a run of {model.name}, which scores no text; expected a language-model.")
    path = path_of(options.text)
    path = path if path and Path(path).is_file() else None
    if path is None and is_file_name(options.text):
        raise InputError(f"there is no file {options.text}. Expected a text, or a file that holds one.")
    found = model.score("\n".join(read_corpus(path).texts) if path else options.text)
    say(str(found))
    if page:
        write_text(output, found.page(f"Surprisal: {options.run}"))
    elif output:
        write_frame(output, found.table())
    else:
        sys.stdout.write(found.table().to_csv(index=False))
