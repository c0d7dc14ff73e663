"""Where a compression starts: a built-in network without weights, or an ONNX file with its own."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from latency.lowering.read_model import NetworkWeights, ReadNetwork, load_model, read_model
from search.compress.request import CompressRequest
from search.export.export import export_network
from search.export.parity import ParityError, max_difference
from search.finalize.graph_network import GraphNetwork, graph_genotype
from search.finalize.run import Goal
from search.finalize.train import make_network
from search.space.networks import AnyGenotype
from search.space.rivals import PARENTS
from search.space.task import TaskShape


@dataclass(frozen=True, kw_only=True)
class Source:
    """A dense network."""

    genotype: AnyGenotype
    weights: NetworkWeights | None = None  # by node name; None: to be trained here
    # Of the logits over the images, as brought: ONNX Runtime on the file against PyTorch.
    max_abs_difference: float | None = None


def load_source(request: CompressRequest, task: TaskShape, images: Tensor, goal: Goal) -> Source:
    """Return the network that a request names.

    Args:
        request: a built-in network and its width, or the path of an ONNX file.
        task: what the data set asks of it.
        images: (N, C, H, W), on which the file is compared with what it became.
        goal: whose seed draws weights before they are set.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no ONNX model, has operators that are not known (the message lists them
            all with their nodes), or is for another task.
        ParityError: on the way into PyTorch or out of it again the output changes; the message
            has the largest difference.
    """
    if not request.is_given:
        return Source(genotype=PARENTS[request.network](request.width))
    model, read = _read(Path(request.network))
    genotype = graph_genotype(read.graph)
    network = make_network(genotype, task, goal)
    network.take_weights(read.weights)
    difference = _unchanged(model, network, images)
    return Source(genotype=genotype, weights=read.weights, max_abs_difference=difference)


def _read(path: Path) -> tuple[bytes, ReadNetwork]:
    proto = load_model(path)
    return proto.SerializeToString(), read_model(proto)


def _unchanged(model: bytes, network: GraphNetwork, images: Tensor) -> float:
    """Return how much the logits of a file and of its network differ; refuse more than rounding."""
    network.eval()
    with torch.no_grad():
        shape = tuple(network(images).shape)
    expected = (len(images), network.task.classes)
    if shape != expected:
        raise ValueError(f"network: its output must be (N, classes) = {expected}, got {shape}")
    try:
        difference = max_difference(model, network, images)
        export_network(network, images)
    except ParityError as error:
        raise ParityError(f"network: its output changes on the way: {error}") from error
    return difference
