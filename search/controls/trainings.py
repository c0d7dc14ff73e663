"""Trainings of controls: a folder for each network and seed; what is in it is not done again.

But for what was made to another order, such as before the network was derived anew.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency import codec
from latency.graph import NetworkGraph
from latency.table import LatencyTable
from search.controls.quantized import write_int8
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result, write_json
from search.engine.progress import Progress
from search.layers.sparse import sparse_layers
from search.requests import SearchRequest
from search.space.networks import AnyGenotype
from search.space.sparsity import Sparsity
from search.stages import run_export, run_train, trained_network

CONTROLS_FOLDER = "controls"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network: what was asked for, and the folder with what came of it."""

    request: SearchRequest
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        """train.json."""
        return read_result(self.folder / "train.json")


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """Trains, exports and quantizes networks for the data and the tables of one search."""

    work: Path  # of the search
    dataset: Dataset
    table: LatencyTable
    progress: Progress
    others: tuple[LatencyTable, ...] = ()  # of the other devices of the search

    def train(
        self,
        name: str,
        genotype: AnyGenotype,
        request: SearchRequest,
        random_masks: Mapping[str, Sparsity] | None = None,
    ) -> Trained:
        """Train a network as the final training of a search does, from its last checkpoint on.

        Raises:
            BudgetInfeasibleError: layers are planned by the table, and no plan is within the budget.
        """
        folder = self.folder(name, request.seed)
        derived = {"genotype": genotype.to_dict()}
        order = {
            **derived,
            "masks": random_masks,
            "density": request.density,
            "pattern": request.pattern,
            "planning": self._planning(request),
            "recipe": request.recipe,
            "dataset": self.dataset.sha256(),
        }
        start_folder(folder, order)
        if not (folder / "train.json").exists():
            write_json(folder / "derive.json", derived)
            progress = NamedProgress(inner=self.progress, name=f"{name}, seed {request.seed}")
            run_train(
                request, folder, self.dataset, self.table, progress, random_masks=random_masks
            )
        return Trained(request=request, folder=folder)

    def export(self, trained: Trained) -> dict[str, Any]:
        """Write the files of a trained network, as each table has it fastest; returns export.json."""
        return run_export(
            trained.request,
            trained.folder,
            self.dataset,
            self.table,
            self.progress,
            others=self.others,
        )

    def quantize(self, name: str, trained: Trained, graph: NetworkGraph) -> dict[str, Any]:
        """Write the file of a trained dense network in int8, and what it gets right.

        Raises:
            QuantizationError: ONNX Runtime cannot quantize it.
        """
        folder = self.folder(name, trained.request.seed)
        start_folder(folder, {"graph": graph.to_dict(), "trained": trained.result})
        if not (folder / "int8.json").exists():
            network = trained_network(trained.request, trained.folder, self.dataset)
            write_int8(folder, network, graph, self.dataset)
        return read_result(folder / "int8.json")

    def folder(self, name: str, seed: int) -> Path:
        """Return where a network trained with a seed is kept."""
        return self.work / CONTROLS_FOLDER / f"{name}-{seed}"

    def layers_of(self, trained: Trained) -> dict[str, Sparsity]:
        """Return the pattern and the fraction of groups kept of each trained layer, by path."""
        network = trained_network(trained.request, trained.folder, self.dataset)
        return {
            path: Sparsity(pattern=layer.pattern, density=layer.density)
            for path, layer in sparse_layers(network).items()
        }

    def _planning(self, request: SearchRequest) -> dict[str, Any] | None:
        """Return what the plan of the layers depends on beside the weights."""
        if request.planning_table(self.table) is None:
            return None
        return {"budget_ms": request.tightened_ms, "table": self.table.version}


def start_folder(folder: Path, order: dict[str, Any]) -> None:
    """Write down what a folder is for; what was made there to another order is removed."""
    path, plain = folder / "order.json", codec.to_plain(order)
    if path.exists() and read_result(path) != plain:
        shutil.rmtree(folder)
    write_json(path, plain)


@dataclass(frozen=True, kw_only=True)
class NamedProgress:
    """Progress that says which of the trainings it is about."""

    inner: Progress
    name: str

    def report(self, event: dict[str, Any]) -> None:
        """Pass an event on."""
        self.inner.report({"phase": self.name, **event})
