"""NetworkGraph plus weights to an ONNX model, for the profiler and the exporter alike."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from latency.graph import INPUT, OUTPUT, NetworkGraph
from latency.lowering.library import LibraryNodes, lower_to_library, opset_imports
from latency.lowering.operators import Wiring, gives_flat_output, lower_operator
from latency.lowering.weights import WeightSource
from latency.operator import Regime

OPSET = 20  # the first with dilated average pooling settled; ONNX Runtime 1.17 and later
IR_VERSION = 9  # of the same ONNX release
PRODUCER = "edgewright"
FLAT_INDEX_BYTES = 8  # sparse initialisers carry one int64 per value


def build_model(
    graph: NetworkGraph,
    weights: WeightSource,
    metadata: dict[str, str] | None = None,
    *,
    sparse_initializers: bool = False,
) -> onnx.ModelProto:
    """Return the model of one graph: `input` (1, C, H, W) to `logits`, both float32.

    Args:
        graph: the network; its last node gives the output.
        weights: returns {"weight", "bias"} as float32 arrays for a node with weights, else {}.
        metadata: text for the model's metadata properties.
        sparse_initializers: store a weight as values and flat indices where that is smaller in
            bytes, which is above two thirds of zeros. It saves file size, never time. In the
            regime of the library zeros are never stored.

    A graph in the regime of the library becomes nodes of the operator library, each with a
    fallback in standard operators, so that the model also runs where the library is absent.

    Raises:
        ValueError: weights do not fit, are not finite, or names collide.
    """
    build = _GraphBuild(sparse_initializers=sparse_initializers)
    flat = {INPUT: False}
    last = graph.nodes[-1]
    for node in graph.nodes:
        arrays = weights(node)
        flat_input = _common_rank(node.name, [flat[name] for name in node.inputs])
        output = OUTPUT if node is last else node.name
        wiring = Wiring(name=node.name, inputs=node.inputs, output=output, flat_input=flat_input)
        if graph.regime is Regime.LIBRARY:
            build.add_library_nodes(lower_to_library(node.spec, wiring, arrays))
        else:
            build.nodes.extend(lower_operator(node.spec, wiring, arrays))
            for part, array in arrays.items():
                build.add_initializer(f"{node.name}.{part}", array)
        flat[node.name] = gives_flat_output(node.spec, flat_input=flat_input)
    shape = last.spec.out_shape
    build.check_names()
    return build.finish(
        input_shape=(1, *graph.input_shape),
        output_shape=(1, shape[0]) if flat[last.name] else (1, *shape),
        metadata=metadata or {},
    )


def sparse_is_smaller(array: npt.NDArray[np.float32]) -> bool:
    """Return whether values plus flat indices take fewer bytes than the dense array."""
    nonzeros = int(np.count_nonzero(array))
    return 0 < nonzeros * (array.itemsize + FLAT_INDEX_BYTES) < array.nbytes


class _GraphBuild:
    """Collects nodes and initialisers of one model."""

    def __init__(self, *, sparse_initializers: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._sparse_initializers = sparse_initializers
        self._dense: list[onnx.TensorProto] = []
        self._sparse: list[onnx.SparseTensorProto] = []
        self._functions: dict[str, onnx.FunctionProto] = {}

    def add_library_nodes(self, lowered: LibraryNodes) -> None:
        """Add nodes of the operator library; a fallback is stored once for all of its kind."""
        self.nodes.extend(lowered.nodes)
        self._dense.extend(lowered.initializers)
        self._functions.update((function.name, function) for function in lowered.functions)

    def add_initializer(self, name: str, array: npt.NDArray[np.float32]) -> None:
        """Store an array, sparse where that was asked for and is smaller."""
        if not np.isfinite(array).all():
            raise ValueError(f"lowering: {name!r} has values that are not finite")
        array = np.ascontiguousarray(array, dtype=np.float32)
        if self._sparse_initializers and sparse_is_smaller(array):
            self._sparse.append(_sparse_tensor(name, array))
        else:
            self._dense.append(numpy_helper.from_array(array, name))

    def check_names(self) -> None:
        """Refuse a graph in which two tensors have one name; ValueError gives the name."""
        seen = {INPUT}
        for name in (
            *(tensor.name for tensor in self._dense),
            *(tensor.values.name for tensor in self._sparse),
            *(output for node in self.nodes for output in node.output),
        ):
            if name in seen:
                raise ValueError(f"lowering: two tensors would be called {name!r}")
            seen.add(name)

    def finish(
        self,
        *,
        input_shape: tuple[int, ...],
        output_shape: tuple[int, ...],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """Return the model."""
        float32 = onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, float32, list(input_shape))],
            [helper.make_tensor_value_info(OUTPUT, float32, list(output_shape))],
            initializer=self._dense,
            sparse_initializer=self._sparse,
        )
        model = helper.make_model(
            graph,
            opset_imports=[
                helper.make_opsetid("", OPSET),
                *(opset_imports() if self._functions else []),
            ],
            functions=list(self._functions.values()),
            ir_version=IR_VERSION,
            producer_name=PRODUCER,
        )
        helper.set_model_props(model, metadata)
        return model


def _common_rank(name: str, flat: list[bool]) -> bool:
    if len(set(flat)) > 1:
        raise ValueError(f"lowering: {name!r} mixes flat and spatial inputs")
    return flat[0]


def _sparse_tensor(name: str, array: npt.NDArray[np.float32]) -> onnx.SparseTensorProto:
    indices = np.flatnonzero(array)
    values = numpy_helper.from_array(array.reshape(-1)[indices], name)
    return helper.make_sparse_tensor(
        values, numpy_helper.from_array(indices.astype(np.int64)), list(array.shape)
    )
