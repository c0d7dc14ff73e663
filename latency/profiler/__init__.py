"""Times operators and whole networks with ONNX Runtime, on the device itself."""
