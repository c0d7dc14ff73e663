"""The control in int8: its file, and what that file gets right."""

import hashlib
from pathlib import Path

from torch import nn

from latency.files import write_atomic
from latency.graph import NetworkGraph
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.engine.checkpoint import write_json
from search.export.int8 import quantize_network, runtime_accuracy

_CALIBRATION_IMAGES = 128  # of the training set, for the ranges of activations


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
