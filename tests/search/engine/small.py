"""A search so small that a test can run it: bright or dark halves of 8x8 images, tiny supernet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from latency.operator import SparsityPattern
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.data.datasets import load_dataset
from search.engine.recipes import RECIPES, SearchRecipe
from search.engine.search_loop import SearchData, SearchLoop
from search.engine.search_run import SearchRun
from search.objective.latency_term import ExpectedLatency
from search.problems.choice import problem_of
from search.requests import DatasetRef, SearchRequest
from search.space.cell_costs import CellCosts
from search.space.cell_variants import CellSize
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from tests.search.space.tables import SMALL, formula_table

RECIPE = replace(RECIPES["tiny"], supernet_channels=2, batch_size=8, steps_per_epoch=1)


def write_dataset(path: Path) -> DatasetRef:
    """Write 60 training and 30 test images of three classes that differ in where they are bright."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 60), ("test", 30)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 60, (count, 8, 8))
        for label, rows in ((0, slice(0, 3)), (1, slice(3, 5)), (2, slice(5, 8))):
            images[labels == label, rows] += 180
        arrays |= {f"{part}_images": images.astype(np.uint8), f"{part}_labels": labels}
    np.savez(path / "data.npz", **arrays)
    return DatasetRef(format="npz", path=str(path / "data.npz"))


def few_images(dataset: Dataset) -> Dataset:
    """Return a data set with its first 140 training and 100 test images."""
    return replace(
        dataset,
        train_images=dataset.train_images[:140],
        train_labels=dataset.train_labels[:140],
        test_images=dataset.test_images[:100],
        test_labels=dataset.test_labels[:100],
    )


def small_request(path: Path, **changed: Any) -> SearchRequest:
    """Return a request on the data set above."""
    values: dict[str, Any] = {
        "dataset": write_dataset(path),
        "channels": 4,
        "cells": 3,
        "density": 0.4,
        "budget_ms": 10.0,
        "recipe": "tiny",
    }
    return SearchRequest(**(values | changed))


def small_latency() -> ExpectedLatency:
    """Return the latency term of the exported network."""
    planned = Sparsity(pattern=SparsityPattern.BLOCK, density=0.4)
    space = PlannedSpace(channels=4, cells=3, task=SMALL, sparsity=planned)
    size = CellSize(channels=4, cells=3, task=SMALL)
    return ExpectedLatency(CellCosts(space.estimator(formula_table(4, 3, SMALL)), size))


def small_loop(request: SearchRequest, recipe: SearchRecipe = RECIPE) -> SearchLoop:
    """Return a search at its beginning; half of the images each for weights and alphas."""
    dataset = load_dataset(request.dataset)
    run = SearchRun(problem_of(request, dataset.task), recipe)
    examples = torch.arange(len(dataset.train_labels))
    halves = [halve(dataset, examples[start::2]) for start in (0, 1)]
    return SearchLoop(run, recipe, SearchData(weights=halves[0], alphas=halves[1]), small_latency())


def halve(dataset: Any, chosen: torch.Tensor) -> Any:
    """Return the chosen training images."""
    return Examples(images=dataset.train_images[chosen], labels=dataset.train_labels[chosen])


class Events:
    """Progress that remembers, and can stop a search as a crash would."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self.stop_after = stop_after

    def report(self, event: dict[str, Any]) -> None:
        """Remember the event; stop after the given epoch, with its checkpoint written."""
        self.events.append(event)
        if self.stop_after is not None and event.get("epoch") == self.stop_after:
            raise KeyboardInterrupt
