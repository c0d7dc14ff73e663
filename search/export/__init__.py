"""From the trained network to an ONNX file that computes the same: fold, compact, export."""
