"""From operators and weights to ONNX: the one way in which a model of ours is made."""
