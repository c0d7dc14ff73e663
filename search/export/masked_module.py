"""A masked PyTorch module of any origin to the fastest model that computes the same.

Masks are whatever makes weights zero: zeros in the weights themselves, `torch.nn.utils.prune`, or
parametrizations. The module is traced by PyTorch's older exporter, which needs nothing but onnx.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, OUTPUT
from latency.lowering.fastest_form import FastestForm, fastest_form
from search.export.parity import max_difference

_OPSET = 20


def fastest_module(
    module: nn.Module, images: Tensor, estimator: TableEstimator | None = None
) -> FastestForm:
    """Return the fastest exact form of a module.

    Args:
        module: from images (N, C, H, W) to a tensor; used as in evaluation. Afterwards each of its
            parts is in the mode that it was in.
        images: (N, C, H, W), at least one, finite; on them ONNX Runtime is compared with PyTorch.
        estimator: of the target; without one the form for the operator library is built.

    Raises:
        ValueError: the module has an operator that `read_model` does not know; the message names
            the node. Or there are no images, or some that are not finite.
        ParityError: the model does not compute what the module does.
    """
    if len(images) == 0 or not bool(images.isfinite().all()):
        raise ValueError(f"images: there must be some, all finite; got {tuple(images.shape)}")
    with _keeping_modes(module):
        form = fastest_form(trace_module(module, images[:1]), estimator)
        max_difference(form.model.SerializeToString(), module, images)
    return form


@contextmanager
def _keeping_modes(module: nn.Module) -> Iterator[None]:
    """Give every part its mode back: a frozen batch norm must stay frozen."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def trace_module(module: nn.Module, image: Tensor) -> onnx.ModelProto:
    """Return the ONNX model of a module for one image (1, C, H, W).

    Raises:
        ValueError: PyTorch cannot export the module.
    """
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder, "module.onnx")
        # It is announced as the older one; the newer one needs packages of its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            torch.onnx.export(
                module,
                (image,),
                path,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=_OPSET,
                dynamo=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(f"export: PyTorch cannot export the module: {error}") from error
        return onnx.load(path)
