import json
from pathlib import Path

import onnx
import pytest
import torch

from latency.operator import SparsityPattern
from search.export.export import export_network, layer_densities, sparse_genotype
from search.export.fold import fold_weights
from search.export.parity import ParityError, max_difference
from search.finalize.final_network import FinalNetwork
from search.layers.patterns import group_scores
from search.layers.sparse import sparse_layers
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.networks import network_graph
from search.space.primitives import OPERATIONS
from tests.search.finalize.trained import as_if_trained
from tests.search.space.tables import SMALL, formula_estimator, some_genotype

IMAGES = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def trained(
    genotype: Genotype, density: float = 1.0, pattern: str = "unstructured"
) -> FinalNetwork:
    return as_if_trained(lambda: FinalNetwork(genotype, SMALL), density, pattern)


def output_scale(network: FinalNetwork) -> float:
    with torch.no_grad():
        return float(network(IMAGES).abs().max())


def uniform(name: str) -> Genotype:
    cell = tuple((name, source) for source in (0, 1, 1, 2, 2, 3, 3, 4))
    return Genotype(normal=cell, reduce=cell, channels=4, cells=3)


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "none"])
def test_every_operation_is_exported_as_it_was_trained(name: str) -> None:
    genotype = uniform(name)
    network = trained(genotype)
    scale = output_scale(network)
    result = export_network(network, IMAGES)
    assert scale > 0.05
    assert result.max_abs_difference <= 1e-4 * scale
    assert result.graph == build_graph(genotype, SMALL)


@pytest.mark.parametrize("pattern", ["unstructured", "block"])
@pytest.mark.parametrize("seed", [1, 8, 13])
def test_sparse_networks_are_exported_as_they_were_trained(seed: int, pattern: str) -> None:
    genotype = some_genotype(seed, 8, 3)
    network = trained(genotype, density=0.15, pattern=pattern)
    result = export_network(network, IMAGES)
    assert result.nonzeros < 0.25 * result.weights
    assert result.max_abs_difference <= 1e-4 * output_scale(network)


def test_sparse_file_is_smaller_than_the_dense_one() -> None:
    genotype = uniform("sep_conv_3x3")
    dense = export_network(trained(genotype), IMAGES)
    sparse = export_network(trained(genotype, density=0.05), IMAGES)
    assert len(sparse.model) < 0.7 * len(dense.model)
    graph = onnx.load_from_string(sparse.model).graph
    assert graph.sparse_initializer
    stored_sparse = onnx.load_from_string(dense.model).graph.sparse_initializer
    # The 2x2 kernel of a factorized reduce has one weight in four.
    assert {tensor.values.name for tensor in stored_sparse} == {"cells.2.preprocess0.weight"}


def test_compaction_with_and_without_a_table_computes_the_same() -> None:
    genotype = some_genotype(8, 8, 3)
    network = trained(genotype, density=0.06)
    free = export_network(network, IMAGES)
    priced = export_network(network, IMAGES, estimator=formula_estimator(8, 3, SMALL))
    assert free.removed_channels > 0
    assert priced.removed_channels <= free.removed_channels


def test_metadata_says_what_the_network_is() -> None:
    genotype = some_genotype(8, 8, 3)
    network = trained(genotype, density=0.2)
    result = export_network(network, IMAGES, metadata={"edgewright.seed": "7"})
    properties = {p.key: p.value for p in onnx.load_from_string(result.model).metadata_props}
    assert properties["edgewright.seed"] == "7"
    stored = Genotype.from_dict(json.loads(properties["edgewright.genotype"]))
    assert stored == result.genotype == sparse_genotype(network)
    assert (stored.normal, stored.reduce) == (genotype.normal, genotype.reduce)
    assert json.loads(properties["edgewright.density_per_layer"]) == layer_densities(network)


def test_same_network_gives_the_same_bytes() -> None:
    genotype = some_genotype(3)
    first, second = (export_network(trained(genotype, density=0.3), IMAGES) for _ in range(2))
    assert first.model == second.model
    assert first.sha256 == second.sha256


def test_difference_is_an_error() -> None:
    genotype = some_genotype(3)
    network = trained(genotype)
    model = export_network(network, IMAGES).model
    with torch.no_grad():
        network.classifier.bias[0] += 0.1
    with pytest.raises(ParityError, match=r"differ by 0\.1"):
        max_difference(model, network, IMAGES)


def test_not_a_number_is_an_error() -> None:
    genotype = some_genotype(3)
    network = trained(genotype)
    model = export_network(network, IMAGES).model
    with pytest.raises(ParityError):
        max_difference(model, network, torch.full_like(IMAGES, torch.nan))


def test_folding_needs_the_network_of_the_graph() -> None:
    graph = build_graph(uniform("sep_conv_3x3"), SMALL)
    with pytest.raises(ValueError, match=r"no module 'cells\.0\.edges\.0\.depthwise1'"):
        fold_weights(trained(uniform("max_pool_3x3")), graph)


def test_model_opens_from_a_file(tmp_path: Path) -> None:
    genotype = some_genotype(3)
    path = tmp_path / "model.onnx"
    path.write_bytes(export_network(trained(genotype), IMAGES).model)
    onnx.checker.check_model(str(path))


@pytest.mark.parametrize("pattern", ["unstructured", "block"])
def test_genotype_of_a_sparse_network_describes_its_operators(pattern: str) -> None:
    network = trained(some_genotype(8, 8, 3), density=0.2, pattern=pattern)
    found = sparse_genotype(network)
    densities = {
        path: float((group_scores(layer.mask.float(), layer.pattern) > 0).float().mean())
        for path, layer in sparse_layers(network).items()
    }
    specs = {n.parameters: n.spec for n in network_graph(found, SMALL).nodes if n.parameters}
    for path, density in densities.items():
        if path in specs and density < 1.0:
            assert specs[path].pattern is SparsityPattern(pattern)
            assert specs[path].density == pytest.approx(density, abs=1e-4)
    merged = specs["cells.2.preprocess0"]
    halves = [densities[f"cells.2.preprocess0.conv{part}"] for part in (1, 2)]
    assert merged.density == pytest.approx(sum(halves) / 2 / 4, abs=1e-3)
    assert {c.layer for c in some_genotype(8, 8, 3).layers} < {c.layer for c in found.layers}
