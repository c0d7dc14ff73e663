"""From a genotype of stages to the network that is exported; the one description of it."""

from dataclasses import replace
from functools import lru_cache

from latency.estimate.execution import executed_nodes
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.library_form import library_form
from latency.operator import Activation, Regime, SparsityPattern
from search.space.blocks import NetworkBuilder
from search.space.genotype import LayerChoice
from search.space.sparsity import Sparsity, sparse_spec
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.task import TaskShape

STEM, FIRST_STAGE = "stem", "stages.0"


def build_stages(genotype: StageGenotype, task: TaskShape) -> NetworkGraph:
    """Return the network of `genotype` for `task`: batch norm folded, activations fused.

    Layers have the names of their nodes, `stages.STAGE.BLOCK.LAYER`, and `stem`, `head`, `logits`.

    Raises:
        ValueError: the genotype chooses sparsity for a layer that the network does not have.
    """
    network = NetworkBuilder(task.image_channels, task.image_size)
    last = network.conv(STEM, INPUT, genotype.stem, 3, 1, Activation.RELU)
    for index, stage in enumerate(genotype.stages):
        last = add_stage(network, f"stages.{index}", last, stage)
    return _with_choices(_finished(network, last, genotype.head, task), genotype.layers)


def _finished(network: NetworkBuilder, source: str, head: int, task: TaskShape) -> NetworkGraph:
    if head:
        source = network.conv("head", source, head, 1, 1, Activation.RELU)
    return network.finish(source, task.classes)


def add_stage(network: NetworkBuilder, name: str, source: str, stage: Stage) -> str:
    """Add the blocks of a stage; return the name of its output."""
    for block in range(stage.depth):
        stride = stage.stride if block == 0 else 1
        source = _add_block(network, f"{name}.{block}", source, stage, stride)
    return source


def _add_block(network: NetworkBuilder, name: str, source: str, stage: Stage, stride: int) -> str:
    if stage.kind is BlockKind.BASIC:
        return network.basic_block(name, source, stage.width, stride)
    if stage.kind is BlockKind.PLAIN:
        layer = f"{name}.conv"
        return network.conv(layer, source, stage.width, stage.kernel, stride, Activation.RELU)
    return network.inverted_residual(name, source, stage, stride)


def _with_choices(graph: NetworkGraph, layers: tuple[LayerChoice, ...]) -> NetworkGraph:
    if not layers:
        return graph
    choices = {choice.layer: choice for choice in layers}
    names = {node.parameters for node in graph.nodes if node.parameters}
    names |= {stage_of(name) for name in names}
    for name in choices:
        if name not in names:
            raise ValueError(f"genotype: the network has no layer {name}")
    return replace(graph, nodes=tuple(_chosen(node, choices) for node in graph.nodes))


def stage_of(layer: str) -> str:
    """Return the name of the stage of a layer; a layer outside of stages stands for itself."""
    return ".".join(layer.split(".")[:2])


def _chosen(node: GraphNode, choices: dict[str, LayerChoice]) -> GraphNode:
    own, of_stage = choices.get(node.parameters), choices.get(stage_of(node.parameters))
    if own is not None:
        if own.pattern is SparsityPattern.DENSE:
            return node
        spec = replace(node.spec, pattern=own.pattern, density=own.density)
    elif of_stage is not None and of_stage.pattern is not SparsityPattern.DENSE:
        planned = Sparsity(pattern=of_stage.pattern, density=of_stage.density)
        spec = sparse_spec(node.spec, planned)
    else:
        return node
    return replace(node, spec=spec)


@lru_cache(maxsize=4096)
def executed_stage(
    stage: Stage, in_channels: int, size: int, regime: Regime
) -> tuple[GraphNode, ...]:
    """Return the nodes that a dense stage is executed as, named as in a network's first stage.

    Whatever is merged lies inside of one block, because the input of a block either has an
    activation of its own or is read more than once; so stages can be priced one by one.

    Args:
        stage: which blocks.
        in_channels: of its input.
        size: height and width of its input, pixels.
        regime: whose kernels execute it.
    """
    network = NetworkBuilder(in_channels, size)
    source = network.conv(STEM, INPUT, in_channels, 1, 1, Activation.RELU)
    graph = network.finish(add_stage(network, FIRST_STAGE, source, stage), 2)
    return tuple(node for node in _executed(graph, regime) if stage_of(node.name) == FIRST_STAGE)


@lru_cache(maxsize=256)
def executed_stem(channels: int, task: TaskShape, regime: Regime) -> GraphNode:
    """Return what the stem is executed as, dense."""
    network = NetworkBuilder(task.image_channels, task.image_size)
    source = network.conv(STEM, INPUT, channels, 3, 1, Activation.RELU)
    return _executed(network.finish(source, task.classes), regime)[0]


@lru_cache(maxsize=1024)
def executed_end(
    in_channels: int, size: int, head: int, task: TaskShape, regime: Regime
) -> tuple[GraphNode, ...]:
    """Return what is executed behind the last stage: head, pooling, classifier, dense."""
    network = NetworkBuilder(in_channels, size)
    source = network.conv(STEM, INPUT, in_channels, 1, 1, Activation.RELU)
    return _executed(_finished(network, source, head, task), regime)[1:]


def _executed(graph: NetworkGraph, regime: Regime) -> tuple[GraphNode, ...]:
    return library_form(graph).nodes if regime is Regime.LIBRARY else executed_nodes(graph)
