"""Budgets that no network of a space meets are refused before any training."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from latency.table import LatencyTable
from search.engine.problem import SearchProblem, priced_devices
from search.finalize.repair import BudgetInfeasibleError


def refuse_infeasible(problem: SearchProblem[Any], tables: Sequence[LatencyTable]) -> None:
    """Refuse budgets that cannot be met, each alone or all of them together.

    Args:
        problem: its request names the devices and their budgets.
        tables: of the devices, in order.

    Raises:
        BudgetInfeasibleError: it names the device that no network is fast enough on, and what
            could be met there.
        ValueError: there is not one table for each device, or one has no rows.
    """
    devices = priced_devices(problem, tables)
    for one in devices:
        smallest = problem.space.smallest(one.estimator)
        if smallest.high_ms > one.budget_ms:
            raise BudgetInfeasibleError(one.budget_ms, smallest.high_ms, one.device)
    first, *others = devices
    if others:
        shapes = problem.alphas(torch.Generator()).tables
        any_alphas = {name: np.zeros(table.shape) for name, table in shapes.items()}
        problem.fit(any_alphas, first.estimator, first.budget_ms, others)
