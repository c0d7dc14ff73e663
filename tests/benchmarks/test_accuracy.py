from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from benchmarks.cifar import choose_part
from benchmarks.rivals import (
    CELL,
    PATTERN,
    Form,
    Rival,
    Timed,
    candidates,
    choose_rivals,
    dense_file,
    random_file,
    sparse_file,
)
from latency.kernels.library import DOMAIN
from search.data.batches import Examples
from search.export.parity import run_model
from search.finalize.prune import prune
from search.finalize.run import Goal
from search.finalize.train import make_network
from search.space.rivals import RIVALS
from search.space.task import TaskShape

TASK = TaskShape(image_channels=3, image_size=16, classes=10)
SMALL = Rival(family="resnet-18", width=0.125, form=Form.SPARSE, density=0.25)


def test_every_family_is_there_in_every_form() -> None:
    found = candidates(0.1)
    labels = [rival.label for rival in found]
    assert len(labels) == len(set(labels))
    assert {(rival.family, rival.form) for rival in found} == {
        (CELL, Form.SPARSE),
        *((family, form) for family in RIVALS for form in Form),
    }


def test_the_widest_within_the_budget_is_chosen() -> None:
    timed = [
        Timed(rival=Rival(family="resnet-18", width=width, form=form), ms=ms * width)
        for form, ms in ((Form.DENSE, 4.0), (Form.INT8, 1.0))
        for width in (0.5, 0.25, 1.0)
    ]
    assert [(rival.form, rival.width) for rival in choose_rivals(timed, 1.0)] == [
        (Form.DENSE, 0.25),
        (Form.INT8, 1.0),
    ]
    assert choose_rivals(timed, 0.1) == []
    assert [rival.width for rival in choose_rivals(timed, 0.5, slack=4.0)] == [0.5, 1.0]


@pytest.mark.parametrize("form", [Form.SPARSE, Form.INT8])
def test_files_of_random_weights_have_the_form(tmp_path: Path, form: Form) -> None:
    rival = Rival(family="resnet-18", width=0.125, form=form, density=0.25)
    model = onnx.load(random_file(rival, TASK, tmp_path))
    kinds = {node.op_type for node in model.graph.node}
    domains = {opset.domain for opset in model.opset_import}
    assert (DOMAIN in domains) == (form is Form.SPARSE)
    assert ("QuantizeLinear" in kinds) == (form is Form.INT8)


def test_files_of_trained_networks_compute_what_they_do() -> None:
    goal = Goal(density=0.25, pattern=PATTERN, seed=0)
    network = make_network(SMALL.genotype, TASK, goal)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for made in (dense_file, sparse_file):
        if made is sparse_file:
            prune(network, goal.density)
        network.eval()
        with torch.no_grad():
            wanted = network(images).numpy()
        found = run_model(made(network), images.numpy())
        np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_part_of_a_data_set_has_every_class_alike() -> None:
    labels = torch.arange(200) // 20
    every = Examples(images=torch.arange(200.0).view(-1, 1, 1, 1), labels=labels)
    part = choose_part(every, 100, seed=1)
    assert torch.bincount(part.labels).tolist() == [10] * 10
    assert torch.equal(part.images, choose_part(every, 100, seed=1).images)
    assert choose_part(every, 200, seed=1) is every
