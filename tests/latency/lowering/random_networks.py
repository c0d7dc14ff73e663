"""Random networks of all kinds of operators, and random models of them, for tests."""

from dataclasses import replace

import numpy as np

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.operator import Activation, OperatorKind, OperatorSpec
from tests.latency.samples import conv, linear, plain, pool

ACTIVATIONS = tuple(Activation)


def random_network(seed: int) -> NetworkGraph:
    """Return a network of 3 to 10 operators on small images that a seed repeats."""
    return _Grower(np.random.default_rng(seed)).grow()


class _Grower:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shape = (int(rng.integers(1, 5)), int(rng.integers(4, 9)), int(rng.integers(4, 9)))
        self.nodes: list[GraphNode] = []
        self.shapes = {INPUT: self.shape}

    def grow(self) -> NetworkGraph:
        self.add(self.conv(self.shape), INPUT)
        for _ in range(self.rng.integers(2, 9)):
            self.step()
        last = list(self.shapes)[-1]
        if self.rng.random() < 0.6:
            channels, height, width = self.shapes[last]
            mean = plain(OperatorKind.GLOBAL_AVG_POOL, channels)
            self.add(replace(mean, height=height, width=width), last)
            self.add(
                replace(linear(channels, 5), activation=self.activation()),
                f"n{len(self.nodes) - 1}",
            )
        nodes = self.reachable()
        return NetworkGraph(input_shape=self.shape, nodes=tuple(nodes))

    def step(self) -> None:
        name = self.pick()
        shape = self.shapes[name]
        like = [other for other, its in self.shapes.items() if its == shape]
        choice = self.rng.integers(6)
        if choice == 0 and len(like) > 1:
            count = int(self.rng.integers(2, 4))
            sources = [str(self.rng.choice(like)) for _ in range(count)]
            self.add(self.sized(plain(OperatorKind.ADD, shape[0], inputs=count), shape), *sources)
        elif choice == 1:
            sources = [name, str(self.rng.choice(like))]
            self.add(self.sized(plain(OperatorKind.CONCAT, shape[0], inputs=2), shape), *sources)
        elif choice == 2:
            self.add(self.sized(plain(OperatorKind.RELU, shape[0]), shape), name)
        elif choice == 3 and min(shape[1:]) >= 2:
            kind = OperatorKind.MAX_POOL if self.rng.random() < 0.5 else OperatorKind.AVG_POOL
            stride = int(self.rng.integers(1, 3))
            self.add(self.sized(pool(kind, shape[0], stride=stride), shape), name)
        else:
            self.add(self.conv(shape), name)

    def conv(self, shape: tuple[int, int, int]) -> OperatorSpec:
        channels, height, width = shape
        kernel = int(self.rng.choice([1, 2, 3, 5]))
        dilation = int(self.rng.integers(1, 3)) if kernel > 1 else 1
        padding = dilation * (kernel - 1) // 2 + (kernel == 2)
        groups = channels if self.rng.random() < 0.3 else 1
        out = channels if groups > 1 else int(self.rng.integers(1, 9))
        return conv(
            channels,
            out,
            height=height,
            width=width,
            kernel=kernel,
            dilation=dilation,
            padding=padding,
            stride=int(self.rng.integers(1, 3)),
            groups=groups,
            activation=self.activation(),
        )

    def sized(self, spec: OperatorSpec, shape: tuple[int, int, int]) -> OperatorSpec:
        return replace(spec, height=shape[1], width=shape[2])

    def activation(self) -> Activation:
        return ACTIVATIONS[int(self.rng.integers(len(ACTIVATIONS)))]

    def pick(self) -> str:
        names = [name for name in self.shapes if name != INPUT][-3:]
        return str(self.rng.choice(names))

    def add(self, spec: OperatorSpec, *sources: str) -> None:
        name = f"n{len(self.nodes)}"
        self.nodes.append(GraphNode(name=name, spec=spec, inputs=sources, parameters=name))
        self.shapes[name] = spec.out_shape

    def reachable(self) -> list[GraphNode]:
        wanted, kept = {self.nodes[-1].name}, []
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.inputs)
                kept.append(node)
        return kept[::-1]
