"""Models that are only timed: a graph with random weights, in the dtypes that its operators have."""

from latency.graph import NetworkGraph
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights

_SEED = 0


def random_model(graph: NetworkGraph, *, int8: bool = False) -> bytes:
    """Return the ONNX model of a graph.

    Args:
        graph: its operators in float32 or, in the stock regime, some of them in int8.
        int8: quantize all that can be.

    Raises:
        QuantizationError: ONNX Runtime cannot quantize it.
        ValueError: as `build_model`.
    """
    weights = random_weights(_SEED)
    # Loading the quantizer is a sixth of the start of a process, and most never need it.
    if int8:
        from latency.lowering.quantize import quantized  # noqa: PLC0415

        model = quantized(build_model(graph, weights))
    elif graph.int8_names:
        from latency.lowering.mixed import build_mixed  # noqa: PLC0415

        model = build_mixed(graph, weights)
    else:
        model = build_model(graph, weights)
    serialized: bytes = model.SerializeToString()
    return serialized
