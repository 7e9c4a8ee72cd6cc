"""The run folder: the only writer and reader of artefacts. safetensors and JSON, never pickle; whole files or none."""

from gatework.run.durable import check_place
from gatework.run.folder import Run
from gatework.run.frames import check_output, write_frame
from gatework.run.listing import RunSummary, list_runs
from gatework.run.textfile import write_text

__all__ = ["Run", "RunSummary", "check_output", "check_place", "list_runs", "write_frame", "write_text"]
