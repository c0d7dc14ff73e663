"""Cut kernels and balanced blocks compute what the whole convolution does, where they are taken."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form
from latency.lowering.balanced_block import channels_read, gathered
from latency.lowering.build import build_model
from latency.lowering.read_model import ReadNetwork
from latency.lowering.stock_forms import (
    LAYOUT_CHANNELS,
    Form,
    balanced_forms,
    cut_form,
    stock_forms,
    with_stock_forms,
)
from latency.lowering.weights import random_weights
from latency.operator import Activation, OperatorSpec, SparsityPattern
from tests.latency.lowering.models import Array, assert_same, random, run
from tests.latency.samples import conv, node, row, table

BALANCED = SparsityPattern.BALANCED_BLOCK


def built(
    spec: OperatorSpec, weights: dict[str, npt.NDArray[Any]], *, library: bool = False
) -> Array:
    graph = NetworkGraph(input_shape=spec.in_shape, nodes=(node("only", spec, INPUT),))
    graph = library_form(graph) if library else graph
    model = build_model(graph, lambda _: weights)
    return run(model, random(1, *spec.in_shape, seed=7), library=library)


def with_zeros(spec: OperatorSpec, zero: Callable[[Array], None]) -> Form:
    weights = random_weights(1)(node("only", spec, INPUT))
    zero(weights["weight"])
    return spec, weights


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 5),
    dilation=st.integers(1, 2),
    padding=st.integers(0, 4),
    stride=st.integers(1, 3),
    rows=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    columns=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    depthwise=st.booleans(),
)
def test_a_cut_kernel_is_exact(
    *,
    kernel: int,
    dilation: int,
    padding: int,
    stride: int,
    rows: tuple[int, int],
    columns: tuple[int, int],
    depthwise: bool,
) -> None:
    assume(dilation * (kernel - 1) < 8 + 2 * padding)
    spec = conv(
        4, 4, kernel=kernel, dilation=dilation, padding=padding, stride=stride,
        groups=4 if depthwise else 1, activation=Activation.RELU,
    )  # fmt: skip

    def zero(weight: Array) -> None:
        weight[:, :, : rows[0]] = 0.0
        weight[:, :, kernel - min(kernel, rows[1]) :] = 0.0
        weight[:, :, :, : columns[0]] = 0.0
        weight[:, :, :, kernel - min(kernel, columns[1]) :] = 0.0

    spec, weights = with_zeros(spec, zero)
    form = cut_form(spec, weights)
    if form is None:
        room = padding // dilation
        assert room == 0 or kernel == 1 or not any((*rows, *columns))
        return
    cut, smaller = form
    assert cut.macs < spec.macs
    assert_same(built(cut, smaller), built(spec, weights))
    for library in (False, True):
        graph_spec = replace(cut, pattern=SparsityPattern.DENSE, density=1.0)
        assert_same(built(graph_spec, smaller, library=library), built(spec, weights))


def test_a_kernel_is_cut_no_further_than_its_padding() -> None:
    spec = conv(4, 4, kernel=5, padding=1)

    def zero(weight: Array) -> None:
        weight[:, :, :2] = 0.0

    form = cut_form(*with_zeros(spec, zero))
    assert form is not None
    assert form[0].kernel_shape == (4, 5)
    assert form[0].density == pytest.approx(0.75, abs=1e-4)  # one row of zeros stays


def test_an_empty_kernel_is_cut_to_its_middle() -> None:
    form = cut_form(*with_zeros(conv(4, 4, kernel=3, padding=1), lambda weight: weight.fill(0.0)))
    assert form is not None
    assert form[0].kernel_shape == (1, 1)


def test_a_cut_kernel_can_be_cut_again() -> None:
    spec = conv(4, 4, kernel=5, padding=2, cut=(0, 1, 0, 0))

    def zero(weight: Array) -> None:
        weight[:, :, 3:] = 0.0

    spec, weights = with_zeros(spec, zero)
    form = cut_form(spec, weights)
    assert form is not None
    assert form[0].cut == (0, 1, 2, 0)
    assert_same(built(*form), built(spec, weights))


@settings(max_examples=30, deadline=None)
@given(
    filters=st.sampled_from([32, 64]),
    blocks=st.integers(1, 3),
    channels=st.integers(2, 40),
    kernel=st.sampled_from([1, 3]),
    density=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_balanced_blocks_are_exact(
    *, filters: int, blocks: int, channels: int, kernel: int, density: float, seed: int
) -> None:
    """Whatever each block reads: blocks that read less than others, or nothing, too."""
    spec = conv(
        channels,
        filters * blocks,
        6,
        kernel=kernel,
        padding=kernel // 2,
        activation=Activation.SILU,
    )
    rng = np.random.default_rng(seed)

    def zero(weight: Array) -> None:
        reads = rng.random((blocks, channels)) < density * rng.random((blocks, 1))
        weight *= np.repeat(reads, filters, axis=0)[:, :, None, None]

    spec, weights = with_zeros(spec, zero)
    wanted = built(spec, weights)
    for form, same in balanced_forms(spec, weights):
        assert form.pattern is BALANCED
        assert form.kept_channels < channels
        assert form.kept_channels % LAYOUT_CHANNELS == 0 or form.executed_macs < spec.macs
        assert_same(built(form, same), wanted)


def test_weights_that_read_too_much_are_refused() -> None:
    spec = conv(8, 32, pattern=BALANCED, density=0.5, block_filters=32)
    weights = {"weight": random(32, 8, 1, 1), "bias": random(32)}
    with pytest.raises(ValueError, match="a block of 32 filters reads 8 channels, not 4"):
        built(spec, weights)


def test_random_weights_of_balanced_blocks_read_what_the_spec_says() -> None:
    spec = conv(40, 128, kernel=3, padding=1, pattern=BALANCED, density=0.3, block_filters=64)
    weight = random_weights(5)(node("only", spec, INPUT))["weight"]
    assert channels_read(weight, 64).sum(axis=1).tolist() == [12, 12]
    small, lists = gathered(weight, 64, 12)
    assert small.shape == (128, 12, 3, 3)
    assert np.count_nonzero(small) == small.size == np.count_nonzero(weight)
    assert len(lists) == 24
    assert (np.diff(lists.reshape(2, 12)) > 0).all()


def test_a_density_of_very_many_channels_keeps_them_all() -> None:
    spec = conv(20_011, 32, 1)
    weight = np.zeros((32, 20_011, 1, 1), dtype=np.float32)
    weight[:, :10_003] = 1.0
    for form, _ in balanced_forms(spec, {"weight": weight, "bias": np.zeros(32, np.float32)}):
        assert 10_003 <= form.kept_channels < 10_030


def balanced_layer() -> tuple[OperatorSpec, dict[str, npt.NDArray[Any]]]:
    spec = conv(64, 64, 6, kernel=3, padding=1)

    def zero(weight: Array) -> None:
        weight[:32, 16:] = 0.0
        weight[32:, :48] = 0.0

    return with_zeros(spec, zero)


def network_of(spec: OperatorSpec, weights: dict[str, npt.NDArray[Any]]) -> ReadNetwork:
    graph = NetworkGraph(input_shape=spec.in_shape, nodes=(node("only", spec, INPUT),))
    return ReadNetwork(graph=graph, weights={"only": weights})


def test_a_form_is_taken_where_its_row_is_cheaper_and_only_there() -> None:
    spec, weights = balanced_layer()
    balanced = replace(spec, pattern=BALANCED, density=0.25, block_filters=32)
    assert balanced in [form for form, _ in stock_forms(spec, weights)]

    def taken(*rows: Any) -> OperatorSpec:
        estimator = TableEstimator(table(row(spec, 1000.0), *rows))
        return with_stock_forms(network_of(spec, weights), estimator).graph.operators[0]

    assert taken(row(balanced, 300.0)) == balanced
    assert taken(row(balanced, 1100.0)) == spec
    assert taken() == spec  # not measured: zeros are worth nothing


def test_a_cut_kernel_is_taken_without_a_row_but_not_against_one() -> None:
    spec = conv(8, 8, kernel=3, padding=1)

    def zero(weight: Array) -> None:
        weight[:, :, 0] = 0.0

    spec, weights = with_zeros(spec, zero)
    cut = replace(spec, cut=(1, 0, 0, 0))
    estimator = TableEstimator(table(row(spec, 1000.0)))
    assert estimator.price(cut) == estimator.price(spec)
    assert with_stock_forms(network_of(spec, weights), estimator).graph.operators == (cut,)
    slow = TableEstimator(table(row(spec, 1000.0), row(cut, 1001.0)))
    assert with_stock_forms(network_of(spec, weights), slow).graph.operators == (spec,)
