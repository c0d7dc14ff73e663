"""What the trainer is asked to do for the order of a search."""

from collections.abc import Mapping
from typing import Any

from latency.operator import SparsityPattern
from search.requests import DEFAULT_FRONT, SearchRequest
from service.datasets.use_cases import Dataset
from service.jobs.schemas import DEFAULT_DENSITIES
from service.profiling.schemas import DEFAULT_SPACE


def search_request(
    order: Mapping[str, Any], dataset: Dataset, *, tighten: float = 1.0
) -> SearchRequest:
    """Return the request for the fields of a SearchCreate, as a job keeps them.

    Args:
        order: of the search; older ones have no space, no seeds, no front and no rule for densities.
            One from a front has the genotype that was found there.
        dataset: that it names.
        tighten: factor on the budget.

    Raises:
        ValueError: a field is out of range; the message names it.
    """
    return SearchRequest(
        dataset=dataset.ref,
        task=dataset.task,
        space=order.get("space", DEFAULT_SPACE),
        channels=order["channels"],
        cells=order["cells"],
        density=order["density"],
        budget_ms=order["budget_ms"],
        pattern=SparsityPattern(order["pattern"]),
        densities=order.get("densities", DEFAULT_DENSITIES),
        seed=order["seed"],
        recipe=order["recipe"],
        tighten=tighten,
        seeds=order.get("seeds", 1),
        front=order.get("front", 0) or DEFAULT_FRONT,
        genotype=order.get("genotype"),
    )
