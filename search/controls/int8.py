"""A trained dense network in static int8, and its accuracy by ONNX Runtime itself."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from latency.files import write_atomic
from latency.graph import NetworkGraph
from latency.host_lock import training_step
from latency.lowering.build import build_model
from latency.lowering.quantize import quantized
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.engine.checkpoint import write_json
from search.export.fold import fold_weights, weight_source
from search.export.parity import run_model

_CALIBRATION_IMAGES = 128  # of the training set, for the ranges of activations
_IMAGES_AT_ONCE = 256  # a measurement on this machine waits for no more


def write_int8(folder: Path, network: nn.Module, graph: NetworkGraph, dataset: Dataset) -> None:
    """Write model.onnx, a trained dense network in static int8, and int8.json: what it gets right.

    Args:
        folder: where to.
        network: trained, with every weight kept.
        graph: what it computes, for stock operators.
        dataset: training images calibrate, the test images judge.

    Raises:
        QuantizationError: ONNX Runtime cannot quantize it.
    """
    seen = Examples(images=dataset.train_images, labels=dataset.train_labels)
    images = seen.sample(_CALIBRATION_IMAGES).images
    model = quantize_network(network, graph, images)
    write_atomic(folder / "model.onnx", model)
    test = Examples(images=dataset.test_images, labels=dataset.test_labels)
    result = {
        "accuracy": runtime_accuracy(model, test),
        "calibration_images": len(images),
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
    }
    write_json(folder / "int8.json", result)


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
