"""Networks that a user could bring, as ONNX files that PyTorch or nobody of ours has written."""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, hardswish, max_pool2d, relu, relu6, silu

from search.export.masked_module import trace_module

SIZE, CLASSES = 8, 10


class Brought(nn.Module):
    """Every operator that GraphNetwork has, for images of 8x8: made as people make networks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.stem_norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 8, (1, 3), padding=(0, 1))
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False)
        self.depthwise = nn.Conv2d(16, 16, 3, stride=2, padding=1, groups=16)
        self.mixed = nn.Conv2d(16, 12, 1)
        self.mixed_norm = nn.BatchNorm2d(12)
        self.hidden = nn.Linear(12, 16)
        self.logits = nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        x = relu6(self.stem_norm(self.stem(images)))
        joined = torch.cat([silu(self.wide(x)), hardswish(self.dilated(x))], dim=1)
        x = relu(self.depthwise(max_pool2d(joined, 3, 1, 1)))
        x = self.mixed_norm(self.mixed(x))
        x = relu(x + avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        hidden: Tensor = self.hidden(x.mean(dim=(2, 3)))
        logits: Tensor = self.logits(relu(hidden))
        return logits


def brought_model(seed: int = 0) -> onnx.ModelProto:
    """Return it with weights and norms that are not their defaults."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Brought()
        for norm in (network.stem_norm, network.mixed_norm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
        for _ in range(3):
            network(torch.randn(16, 1, SIZE, SIZE))
    return trace_module(network.eval(), torch.zeros(1, 1, SIZE, SIZE))


def brought_file(folder: Path) -> str:
    """Write it; return the path."""
    path = folder / "brought.onnx"
    onnx.save(brought_model(), path)
    return str(path)


def unknown_file(folder: Path) -> str:
    """Write a model with three nodes of two types that nobody reads; return the path."""
    weight = numpy_helper.from_array(np.ones((CLASSES, 64), dtype=np.float32), "weight")
    nodes = [
        helper.make_node("Tanh", ["image"], ["a"], name="first"),
        helper.make_node("Flatten", ["a"], ["b"], name="flat"),
        helper.make_node("Tanh", ["b"], ["c"], name="second"),
        helper.make_node("Gemm", ["c", "weight"], ["d"], name="linear", transB=1),
        helper.make_node("Softplus", ["d"], ["e"], name="third"),
    ]
    shape = [1, 1, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "unknown",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("e", onnx.TensorProto.FLOAT, [1, CLASSES])],
        initializer=[weight],
    )
    path = folder / "unknown.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    return str(path)
