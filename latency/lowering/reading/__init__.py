"""From an ONNX model to a network of ours: what `latency.lowering.read_model` is made of."""
