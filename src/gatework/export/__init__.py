"""Models for other runtimes; every export is compared with the model that it came from."""

from gatework.export.exporting import Exported, ExportError, model_to_onnx, to_onnx

__all__ = ["ExportError", "Exported", "model_to_onnx", "to_onnx"]
