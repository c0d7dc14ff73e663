"""Static int8 by ONNX Runtime's own quantizer: what somebody who wants int8 would have.

Weights per output channel, activations in unsigned bytes, ranges from a few images, written as pairs
of QuantizeLinear and DequantizeLinear that the runtime folds into integer operators. For timing,
weights are random and the images noise: the values mean nothing, the time is that of a really
quantized network. For accuracy, both are the real ones.
"""

import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

_SEED = 0
_IMAGES = 8
_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


class QuantizationError(ValueError):
    """ONNX Runtime cannot quantize a model."""


def quantized(
    model: onnx.ModelProto,
    images: npt.NDArray[np.float32] | None = None,
    only: Collection[str] | None = None,
) -> onnx.ModelProto:
    """Return the model in static int8; its input and output stay float32.

    Args:
        model: with one float32 input of fixed shape (1, C, H, W), its weights stored densely.
        images: (N, C, H, W) that the ranges of activations are taken from; noise where not given.
        only: names of the nodes that become int8, at least one; None: all that can.

    Raises:
        QuantizationError: ONNX Runtime cannot quantize it.
    """
    if only is not None and not only:
        raise QuantizationError("quantize: no node was named")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)  # the quantizer would move the weights out of a model in memory
        try:
            quantize_static(
                source,
                path,
                _Images(model, images),
                nodes_to_quantize=None if only is None else sorted(only),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        except Exception as error:
            # The runtime raises some twenty classes of its own, with no common base but Exception.
            raise QuantizationError(f"ONNX Runtime cannot quantize the model: {error}") from error
        made = onnx.load(path)
    if only is not None:
        _spare_float_readers(made, only)
    return made


def _spare_float_readers(model: onnx.ModelProto, quantized_nodes: Collection[str]) -> None:
    """Let nodes of float32 read what others of float32 made, and not its copy in int8.

    The quantizer gives every reader of a tensor the copy as soon as one of them is int8.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.name in quantized_nodes or node.op_type in _CONVERSIONS:
            continue
        for index, name in enumerate(node.input):
            back = made_by.get(name)
            if back is None or back.op_type != "DequantizeLinear":
                continue
            there = made_by.get(back.input[0])
            if there is None:  # a constant
                continue
            maker = made_by.get(there.input[0])
            if maker is None or maker.name not in quantized_nodes:
                node.input[index] = there.input[0]


class _Images(CalibrationDataReader):  # type: ignore[misc] # the base has no types
    """Images one by one; without any, noise as the models get it when they are timed."""

    def __init__(self, model: onnx.ModelProto, images: npt.NDArray[np.float32] | None) -> None:
        (source,) = model.graph.input
        if images is None:
            shape = [axis.dim_value for axis in source.type.tensor_type.shape.dim]
            noise = np.random.default_rng(_SEED)
            images = noise.standard_normal((_IMAGES, *shape[1:]), dtype=np.float32)
        self._feeds: Iterator[dict[str, Any]] = ({source.name: image[None]} for image in images)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next image, or None after the last."""
        return next(self._feeds, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice to pre-process out of the log: our models are as small as that."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
