"""Files and frames to tensors: `read` a table, cut it into `Windows`, and turn answers back into a frame."""

from gatework.data.answers import to_frame
from gatework.data.index import Sampler, Split, WindowIndex, last, rolling, split
from gatework.data.panel import Panel
from gatework.data.scales import Scales
from gatework.data.schema import Schema
from gatework.data.synth import synthesise
from gatework.data.table import read
from gatework.data.windows import Batch, Windows

__all__ = [
    "Batch", "Panel", "Sampler", "Scales", "Schema", "Split", "WindowIndex", "Windows", "last", "read", "rolling",
    "split", "synthesise", "to_frame",
]  # fmt: skip
