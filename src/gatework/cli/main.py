"""The `gatework` command: finds the verb, runs it, and turns every mistake of the user into one plain line."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import gatework
from gatework.errors import ConfigError, GateworkError

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


class Parser(argparse.ArgumentParser):
    """An argument parser that raises ConfigError instead of ending the process, and takes no abbreviations."""

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=28),
        )

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError with argparse's message."""
        raise ConfigError(f"{message}. See: {self.prog} --help")


def verbs() -> dict[str, ModuleType]:
    """Every verb's module by name, from the files of `verbs/`."""
    folder = Path(__file__).parent / "verbs"
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    return {name: importlib.import_module(f"gatework.cli.verbs.{name}") for name in names}


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]


def _top_level_help(known: dict[str, ModuleType]) -> str:
    width = max(map(len, known))
    rows = [f"  {name:<{width}}  {_first_line(module)}" for name, module in known.items()]
    return "\n".join(
        [
            "usage: gatework VERB [...]",
            "",
            "Recurrent cells compiled from their equations, and models that stand on them.",
            "",
            *rows,
            "",
            "gatework VERB --help says what a verb takes; gatework --version prints the version.",
        ]
    )


def _dispatch(argv: Sequence[str]) -> int:
    known = verbs()
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_top_level_help(known))
        return 0
    if argv[0] == "--version":
        print(gatework.__version__)
        return 0
    name, rest = argv[0], list(argv[1:])
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no verb is called {name!r}. {hint}There are: {', '.join(known)}.")
    module = known[name]
    first, _, more = (module.__doc__ or "").strip().partition("\n")
    parser = Parser(f"gatework {name}", first, more.strip() or None)
    module.arguments(parser, rest)
    options, unknown = parser.parse_known_args(rest)
    if blank := next((place for place in ("run", "data") if getattr(options, place, None) == ""), None):
        raise ConfigError(f"{blank.upper()} is empty. Expected a file or a folder. See: {parser.prog} --help")
    return int(module.run(options, unknown) or 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (a check failed), 2 (an error of the user), 130 (Ctrl-C)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except GateworkError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("gatework", "torch"):
            raise
        print(
            f"error: gatework {arguments[0]} needs {error.name}, which is not installed. "
            f"Install it with the rest of its field: pip install 'gatework[all]'",
            file=sys.stderr,
        )
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`gatework runs | head`); what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return code
