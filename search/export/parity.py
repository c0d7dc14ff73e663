"""Whether ONNX Runtime computes what PyTorch computes."""

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from latency.kernels.library import register

TOLERANCE = 1e-4  # largest difference relative to the largest output


class ParityError(ValueError):
    """The exported network does not compute what the trained one does."""

    code = "export-differs"


def max_difference(model: bytes, network: nn.Module, images: Tensor) -> float:
    """Return the largest absolute difference of the logits over `images` (N, C, H, W).

    The model runs in plain ONNX Runtime, and with the operator library where there is one.

    Raises:
        ParityError: it is over TOLERANCE of the largest output.
    """
    network.eval()
    with torch.no_grad():
        expected = np.asarray(network(images).cpu().numpy())
    inputs = np.asarray(images.cpu().numpy())
    ways = [run_model(model, inputs), run_model(model, inputs, with_library=True)]
    # NaN is the largest difference of all.
    difference = float(np.max([np.abs(got - expected).max() for got in ways]))
    scale = max(1e-6, float(np.abs(expected).max()))
    # Written so that NaN fails as well.
    if not difference <= TOLERANCE * scale:
        raise ParityError(
            f"export: ONNX Runtime and PyTorch differ by {difference:.3g} at a scale of "
            f"{scale:.3g}; at most {TOLERANCE:g} of the scale is allowed"
        )
    return difference


def run_model(
    model: bytes, images: npt.NDArray[np.float32], *, with_library: bool = False
) -> npt.NDArray[np.float32]:
    """Return the logits (N, classes) of a model of one input and one output, one image at a time."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if with_library:
        register(options)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (read,) = session.get_inputs()
    outputs = [session.run(None, {read.name: image[None]})[0] for image in images]
    return np.concatenate(outputs).astype(np.float32)
