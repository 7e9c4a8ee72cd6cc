"""Models for other runtimes; every export is compared with the model that it came from."""

from gatework.export.exporting import Exported, to_onnx

__all__ = ["Exported", "to_onnx"]
