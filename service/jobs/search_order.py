"""What the trainer is asked to do for the order of a search, or of a compression."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from latency import codec
from latency.operator import SparsityPattern
from search.compress.request import CompressRequest, Distillation
from search.requests import DEFAULT_FRONT, DeviceBudget, SearchRequest
from search.space.sparsity import MaskRule
from service.datasets.use_cases import Dataset
from service.profiling.schemas import DEFAULT_SPACE


def search_request(
    order: Mapping[str, Any], dataset: Dataset, *, tighten: Sequence[float] = ()
) -> SearchRequest:
    """Return the request for the fields of a SearchCreate, as a job keeps them.

    Args:
        order: of the search; older ones have no space, no seeds, no front, no rule for densities, which
            were planned, and one device. One from a front has the genotype that was found there.
        dataset: that it names.
        tighten: factors on the budgets, device by device; those that are missing are 1.

    Raises:
        ValueError: a field is out of range; the message names it.
    """
    also = order.get("also", ())
    factors = [*tighten, *itertools.repeat(1.0, 1 + len(also) - len(tighten))]
    return SearchRequest(
        dataset=dataset.ref,
        task=dataset.task,
        space=order.get("space", DEFAULT_SPACE),
        channels=order["channels"],
        cells=order["cells"],
        density=order["density"],
        budget_ms=order["budget_ms"],
        pattern=SparsityPattern(order["pattern"]),
        densities=order.get("densities", "planned"),
        seed=order["seed"],
        recipe=order["recipe"],
        tighten=factors[0],
        seeds=order.get("seeds", 1),
        device=order.get("device", ""),
        also=tuple(
            DeviceBudget(device=one["device"], budget_ms=one["budget_ms"], tighten=factor)
            for one, factor in zip(also, factors[1:], strict=True)
        ),
        specialise=order.get("specialise", False),
        front=order.get("front", 0) or DEFAULT_FRONT,
        genotype=order.get("genotype"),
    )


def compress_request(
    order: Mapping[str, Any], dataset: Dataset, *, network: str = "", tighten: float = 1.0
) -> CompressRequest:
    """Return the request for the fields of a CompressionCreate, as a job keeps them.

    Args:
        order: of the compression.
        dataset: that it names.
        network: path of the file with the network, if it is none of the built-in ones.
        tighten: factor on the budget.

    Raises:
        ValueError: a field is out of range; the message names it.
    """
    wanted = order["distillation"]
    return CompressRequest(
        dataset=dataset.ref,
        task=dataset.task,
        network=network or order["network"],
        budget_ms=order["budget_ms"],
        width=order["width"],
        seed=order["seed"],
        recipe=order["recipe"],
        distortion=order["distortion"],
        mapping=order["mapping"],
        mask_rule=MaskRule(order["mask_rule"]),
        learning_rate=order["learning_rate"],
        distillation=None if wanted is None else codec.from_plain(wanted, Distillation),
        tighten=tighten,
        device=order["device"],
    )
