"""Files by their content: a genotype, an ONNX model, a certificate."""
