"""Cut kernels and balanced blocks: what a spec says about them, and what it refuses."""

from dataclasses import replace
from typing import Any

import pytest

from latency.codec import from_plain, to_plain
from latency.graph import INPUT, NetworkGraph
from latency.library_form import library_form
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from tests.latency.samples import conv, node, plain, pool

CUT = conv(8, 12, 9, kernel=3, padding=1, stride=2, cut=(1, 0, 0, 1))
BALANCED = conv(
    48, 64, kernel=3, padding=1, pattern="balanced-block", density=0.25, block_filters=32
)


def test_a_cut_kernel_reads_less_and_gives_the_same_shape() -> None:
    whole = replace(CUT, cut=(0, 0, 0, 0))
    assert CUT.kernel_shape == (2, 2)
    assert CUT.pads == (0, 1, 1, 0)
    assert CUT.weight_shape == (12, 8, 2, 2)
    assert CUT.out_shape == whole.out_shape
    assert CUT.macs * 9 == whole.macs * 4
    assert CUT.key != whole.key
    assert "window 2x2" in CUT.label()


def test_cuts_of_dilated_kernels_are_in_steps_of_the_dilation() -> None:
    spec = conv(8, 8, 9, kernel=3, padding=2, dilation=2, cut=(0, 1, 0, 0))
    assert spec.pads == (2, 0, 2, 2)
    assert spec.out_shape == (8, 9, 9)


def test_balanced_blocks_do_the_work_of_what_they_read() -> None:
    assert BALANCED.kept_channels == 12
    assert BALANCED.executed_macs == BALANCED.macs / 4
    assert BALANCED.weight_shape == (64, 48, 3, 3)
    assert BALANCED.dense() == conv(48, 64, kernel=3, padding=1)
    assert BALANCED.label().endswith("balanced-block32 0.25")


@pytest.mark.parametrize("spec", [CUT, BALANCED], ids=OperatorSpec.label)
def test_specs_survive_json(spec: OperatorSpec) -> None:
    assert OperatorSpec.from_dict(spec.to_dict()) == spec
    assert from_plain(to_plain(spec), OperatorSpec) == spec
    assert hash(OperatorSpec.from_dict(spec.to_dict())) == hash(spec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cut": (1, 0, 0)}, "cut must be four whole numbers"),
        ({"cut": (1, 0, 0, -1)}, "cut must be four whole numbers"),
        ({"cut": (1, 0, True, 0)}, "cut must be four whole numbers"),
        ({"cut": (2, 0, 1, 0), "padding": 2}, "leaves nothing of a kernel of 3"),
        ({"cut": (1, 0, 0, 0), "padding": 0}, "needs more padding than 0"),
        ({"pattern": "balanced-block", "block_filters": 32.0}, "block_filters must be a number"),
        ({"block_filters": False}, "block_filters must be a number"),
        ({"block_filters": 32}, "for the balanced-block pattern only"),
        ({"pattern": "balanced-block", "density": 0.5}, r"one of \(32, 64\) and divide"),
        ({"pattern": "balanced-block", "block_filters": 64}, "divide out_channels, got 64"),
        ({"pattern": "balanced-block", "block_filters": 32, "groups": 2}, "without groups"),
        ({"pattern": "balanced-block", "block_filters": 32, "regime": "library"}, "stock"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"operator: .*{message}"):
        conv(8, 96, **({"kernel": 3, "padding": 1} | changes))


def test_pools_have_no_kernel_to_cut() -> None:
    with pytest.raises(ValueError, match="max-pool has no kernel to cut"):
        replace(pool(OperatorKind.MAX_POOL, 8), cut=(1, 0, 0, 0))
    with pytest.raises(ValueError, match="relu has no weights"):
        replace(plain(OperatorKind.RELU, 64), pattern=SparsityPattern.BALANCED_BLOCK)


def test_in_the_library_balanced_blocks_are_blocks_and_cuts_stay() -> None:
    nodes = (
        node("a", BALANCED, INPUT),
        node("b", conv(64, 8, kernel=3, padding=1, cut=(0, 0, 1, 1)), "a"),
    )
    form = library_form(NetworkGraph(input_shape=BALANCED.in_shape, nodes=nodes))
    first, second = form.operators
    assert (first.pattern, first.density) == (SparsityPattern.BLOCK, 0.25)
    assert second == replace(nodes[1].spec, regime=Regime.LIBRARY)
