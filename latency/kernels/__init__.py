"""The place of the sparse operator library for ONNX Runtime; there are no kernels yet."""
