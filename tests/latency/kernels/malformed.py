"""Malformed nodes, loaded in a process of its own: `python -m tests.latency.kernels.malformed`."""

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.latency.kernels.problems import one_node_model, open_session

Tensors = dict[str, npt.NDArray[np.generic]]
HUGE = 2**62


def attributes() -> dict[str, Any]:
    return {
        "weight_shape": [8, 4, 3, 3],
        "strides": [1, 1],
        "dilations": [1, 1],
        "pads": [1] * 4,
        "group": 1,
    }


def tensors() -> Tensors:
    return {
        "values": np.ones((3, 4), dtype=np.float32),
        "indices": np.array([0, 5, 71], dtype=np.int32),
        "bias": np.zeros(8, dtype=np.float32),
    }


@dataclass(frozen=True)
class Case:
    """What differs from a correct node, and what the error says."""

    message: str
    attributes: dict[str, Any] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)
    without: str = ""


def _indices(*values: int) -> Tensors:
    return {"indices": np.array(values, dtype=np.int32)}


CASES = {
    "index too large": Case("indices must ascend", tensors=_indices(0, 5, 72)),
    "index negative": Case("indices must ascend", tensors=_indices(-1, 5, 71)),
    "index twice": Case("indices must ascend", tensors=_indices(5, 5, 71)),
    "indices descend": Case("indices must ascend", tensors=_indices(5, 0, 71)),
    "index smallest": Case("indices must ascend", tensors=_indices(-(2**31), 0, 71)),
    "fewer indices": Case("one value per row", tensors=_indices(0, 5)),
    "more indices": Case("one value per row", tensors=_indices(0, 5, 6, 7)),
    "indices of rank 2": Case("one value per row", tensors={"indices": np.zeros((3, 1), np.int32)}),
    "indices int64": Case("", tensors={"indices": np.array([0, 5, 71], dtype=np.int64)}),
    "values double": Case("", tensors={"values": np.ones((3, 4))}),
    "bias double": Case("", tensors={"bias": np.zeros(8)}),
    "values of rank 1": Case("values must have", tensors={"values": np.ones(3, np.float32)}),
    "values of rank 3": Case("values must have", tensors={"values": np.ones((3, 4, 1), np.float32)}),
    "blocks of two": Case("values must have", tensors={"values": np.ones((3, 2), np.float32)}),
    "blocks of none": Case("values must have", tensors={"values": np.ones((3, 0), np.float32)}),
    "bias too short": Case("bias must have", tensors={"bias": np.zeros(7, np.float32)}),
    "bias scalar": Case("bias must have", tensors={"bias": np.zeros((), np.float32)}),
    "negative channels": Case("weight_shape must be", {"weight_shape": [-8, 4, 3, 3]}),
    "no channels": Case("weight_shape must be", {"weight_shape": [8, 0, 3, 3]}),
    "absurd channels": Case("weight_shape must be", {"weight_shape": [HUGE, HUGE, HUGE, HUGE]}),
    "large weight": Case("weight_shape is too large", {"weight_shape": [8, 60000, 300, 300]}),
    "weight of rank 3": Case("weight_shape must have 4", {"weight_shape": [8, 4, 9]}),
    "stride zero": Case("strides must be", {"strides": [0, 1]}),
    "stride negative": Case("strides must be", {"strides": [1, -1]}),
    "one stride": Case("strides must have 2", {"strides": [1]}),
    "dilation zero": Case("dilations must be", {"dilations": [1, 0]}),
    "padding negative": Case("pads must be", {"pads": [1, 1, 1, -1]}),
    "padding absurd": Case("pads must be", {"pads": [HUGE] * 4}),
    "two pads": Case("pads must have 4", {"pads": [1, 1]}),
    "group zero": Case("group must be", {"group": 0}),
    "group negative": Case("group must be", {"group": -HUGE}),
    "group that divides nothing": Case("group must divide", {"group": 3}),
    "group that cuts blocks": Case("output channels of a group", {"group": 4}),
    "channels of all groups": Case("input channels of all", {"weight_shape": [8, 65536, 1, 1], "group": 2}),
    "group missing": Case("group", without="group"),
    "group list": Case("group", {"group": [1, 2]}),
    "strides missing": Case("strides", without="strides"),
    "weight shape missing": Case("weight_shape", without="weight_shape"),
    "strides float": Case("strides", {"strides": [1.0, 1.0]}),
    "strides text": Case("strides", {"strides": "one"}),
}  # fmt: skip


def build(case: Case) -> bytes:
    merged = attributes() | case.attributes
    merged.pop(case.without, None)
    return one_node_model("SparseConv", merged, tensors() | case.tensors, {"x": (1, 4, 9, 9)})


def outcome(model: bytes) -> str:
    try:
        session = open_session(model)
        # What loads must also run, or refuse an image that is too small for its window.
        session.run(None, {"x": np.ones((1, 4, 9, 9), dtype=np.float32)})
    except Exception as error:  # noqa: BLE001 -- the runtime has no base class of its own
        return str(error)
    return "loaded"


def main() -> None:
    for name, case in CASES.items():
        sys.stdout.write(json.dumps([name, outcome(build(case))]) + "\n")


if __name__ == "__main__":
    main()
