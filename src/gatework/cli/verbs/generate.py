"""Write text with a fitted language model, as it comes.

Example: gatework generate runs/language-model-001 --prompt "Once upon a time" --temperature 0.7
The prompt is printed before the text. gatework generate RUN --help lists how tokens are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

_WHOLE = ("beams", "samples")  # not written piece by piece
_LEFT = ("prompt", "alternatives")


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    from gatework.cli.parameters import add_parameters, task_of_run

    parser.add_argument("run", metavar="RUN", help="folder of a fitted language model")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="what the text goes on from (default: nothing)")
    if (found := task_of_run(argv)) and found.name == "language-model":
        from gatework.tasks.language_model import LanguageModel

        add_parameters(parser, LanguageModel.generate, leave=_LEFT)


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.cli.parameters import flags, parameters
    from gatework.errors import ConfigError
    from gatework.tasks import load
    from gatework.tasks.language.options import check_options
    from gatework.tasks.language_model import LanguageModel

    model = load(options.run)
    if not isinstance(model, LanguageModel):
        raise ConfigError(f"{options.run} is a run of {model.name}, which writes no text; expected a language-model.")
    refuse_unknown("gatework generate", rest, ("--prompt", *flags(model.generate, _LEFT)))
    given = parameters(model.generate, options, _LEFT)
    check_options(given)
    if given.get("beams") or given.get("samples") is not None:
        texts = model.generate(options.prompt, **given)
        for text in [texts] if isinstance(texts, str) else texts:
            print(f"{options.prompt}{text}\n")
        return
    given = {name: value for name, value in given.items() if name not in (*_WHOLE, "length_power")}
    pieces = model.stream(options.prompt, **given)
    print(options.prompt, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
