"""What a user can do wrong, as exceptions: each message says what came, what was expected and how to mend it.

The command line prints these without a traceback; every other exception is a defect of Gatework.
"""

from __future__ import annotations


class GateworkError(Exception):
    """Base of every error that a user can cause and mend."""


class InputError(GateworkError, ValueError):
    """Data, shapes or arguments that cannot be used as they are."""


class CellError(GateworkError, TypeError):
    """A cell whose declaration or `step` does not fit the rules of `gatework.Cell`."""


class ConfigError(GateworkError, ValueError):
    """A configuration key or value that is unknown or out of range."""


class ArtefactError(GateworkError, ValueError):
    """A run folder or file that is missing, damaged, foreign or tampered with."""


class StorageError(GateworkError, OSError):
    """The disk is full, or a folder may not be written; what was there before is untouched."""
