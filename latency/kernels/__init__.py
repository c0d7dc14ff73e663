"""The sparse operator library for ONNX Runtime: `from latency.kernels import register`."""

from latency.kernels.library import library_path, register

__all__ = ["library_path", "register"]
