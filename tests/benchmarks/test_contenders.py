from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from benchmarks.bars import DEEPSPARSE, NETWORKS, TWO_THREADS
from benchmarks.contenders import DENSE, INT8, Sparse, Workshop, choose, layer_chains, networks
from latency.operator import SparsityPattern
from search.space.dass_cells import build_graph
from search.space.published import published_genotype
from search.space.task import TaskShape


def test_one_network_or_all_with_a_word_in_their_name() -> None:
    assert choose(networks(), "resnet-18") == ["resnet-18"]
    assert choose(networks(), "resnet") == ["resnet-18", "resnet-18-cifar"]
    assert choose(networks(), "") == list(networks())


def test_bars_name_networks_that_exist() -> None:
    named = {name for name, _, _ in NETWORKS} | {name for name, _ in DEEPSPARSE}
    assert named <= set(networks())
    assert set(TWO_THREADS) - set(networks()) == {"layers"}
    assert not set(layer_chains()) & set(networks())


@pytest.mark.parametrize("pattern", [SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED])
def test_every_form_of_a_network_loads_and_sparse_is_smaller(
    tmp_path: Path, pattern: SparsityPattern
) -> None:
    task = TaskShape(image_channels=3, image_size=8, classes=10)
    workshop = Workshop(build_graph(published_genotype(99, "tiny"), task), tmp_path)
    forms = [workshop.dense(1), workshop.sparse(Sparse(pattern=pattern, percent=95), 1)]
    if pattern is SparsityPattern.BLOCK:
        forms.append(workshop.int8(1))
        assert forms[-1].label == INT8
    assert forms[0].label == DENSE
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)
    for contender in forms:
        session = onnxruntime.InferenceSession(str(contender.model))
        logits = session.run(None, {"input": image})[0]
        assert logits.shape == (1, 10)
        assert np.isfinite(logits).all()
    sizes = [contender.model.stat().st_size for contender in forms]
    assert sizes[1] < sizes[0] / 2
