"""A trained dense network in static int8, and its accuracy by ONNX Runtime itself."""

import torch
from torch import Tensor, nn

from latency.graph import NetworkGraph
from latency.host_lock import training_step
from latency.lowering.build import build_model
from latency.lowering.quantize import quantized
from search.data.batches import Examples
from search.export.fold import fold_weights, weight_source
from search.export.parity import run_model

_IMAGES_AT_ONCE = 256  # a measurement on this machine waits for no more


def quantize_network(network: nn.Module, graph: NetworkGraph, images: Tensor) -> bytes:
    """Return the ONNX file of a trained network in static int8.

    Args:
        network: trained, with every weight kept.
        graph: what it computes, for stock operators.
        images: (N, C, H, W), training images that the ranges of activations are taken from.

    Raises:
        QuantizationError: ONNX Runtime cannot quantize it.
    """
    # No sparse initialisers: the quantizer knows none.
    model = build_model(graph, weight_source(fold_weights(network, graph)))
    with training_step():
        int8 = quantized(model, images.cpu().numpy())
    found: bytes = int8.SerializeToString(deterministic=True)
    return found


def runtime_accuracy(model: bytes, examples: Examples) -> float:
    """Return the fraction of `examples` that plain ONNX Runtime classifies rightly."""
    right = 0
    for start in range(0, len(examples), _IMAGES_AT_ONCE):
        part = slice(start, start + _IMAGES_AT_ONCE)
        with training_step():
            logits = torch.from_numpy(run_model(model, examples.images[part].cpu().numpy()))
        right += int((logits.argmax(dim=1) == examples.labels[part].cpu()).sum())
    return right / len(examples)
