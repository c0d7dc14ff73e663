"""Controls of a compression: what the compressed network has to beat, and whether it does.

    compress.json, parent.pt, network.pt -> controls.json, controls/NAME-SEED/

All within the same budget by the same table:

    uniform      the same parent with one pattern and one density for all its layers
    random-mask  the same parent and plan, but masks drawn at random
    dense        the same network with every weight kept, and as few channels as that takes
    int8         the same, as wide as int8 allows, quantized by ONNX Runtime, whose accuracy it is

Each has a dense parent that is trained as long, and is fine-tuned as long from there; so is the
compressed network itself with each seed of the request.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from latency.lowering.quantize import QuantizationError
from latency.operator import Regime
from latency.table import LatencyTable
from search.compress.planner import Planner
from search.compress.request import CompressRequest, Mapping
from search.compress.rivals import WidthsOfParent
from search.compress.source import Source
from search.compress.stage import Compression, run_compress
from search.controls.bench import OVER_BUDGET, Control
from search.controls.candidates import dense_network, int8_network
from search.controls.lines import write_comparison
from search.controls.quantized import write_int8
from search.controls.space import PricedNetwork
from search.controls.trainings import CONTROLS_FOLDER, NamedProgress, start_folder
from search.controls.verdict import Accuracies
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result
from search.engine.progress import Progress
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.run import Goal
from search.finalize.train import AnyNetwork
from search.layers.sparse import sparse_layers
from search.space.sparsity import Sparsity


def run_compress_controls(
    request: CompressRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable,
    progress: Progress,
) -> dict[str, Any]:
    """Write controls.json, and the file of each control that its `path` names.

    Trainings that were finished before are not repeated.

    Raises:
        ValueError: compress.json is missing or damaged, or as `load_source`.
    """
    read_result(work / "compress.json")
    bench = CompressBench(
        request=request, work=work, dataset=dataset, table=table, progress=progress
    )
    compressed, controls = bench.compressed(), bench.controls()
    seeds = request.training_seeds
    return write_comparison(work, "compressed", compressed, controls, seeds, progress)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A control that was trained from one seed."""

    folder: Path
    network: AnyNetwork


@dataclass(frozen=True, kw_only=True)
class CompressBench:
    """One compressed network, and where its controls are trained."""

    request: CompressRequest
    work: Path  # of the compression
    dataset: Dataset
    table: LatencyTable
    progress: Progress

    @cached_property
    def compressions(self) -> tuple[Compression, ...]:
        """The compression from each seed; those of other seeds than the first are made here."""
        first, *others = self.request.training_seeds
        found = [self._compression(first, self.work)]
        for seed in others:
            folder = self._folder("compressed", seed)
            folder.mkdir(parents=True, exist_ok=True)
            compression = self._compression(seed, folder)
            if not (folder / "compress.json").exists():
                run_compress(
                    compression.request, folder, self.dataset, self.table, compression.progress
                )
            found.append(compression)
        return tuple(found)

    def compressed(self) -> Accuracies:
        """Return what the compressed networks get right."""
        return self._accuracies([one.work for one in self.compressions])

    def controls(self) -> list[Control]:
        """Make every control."""
        space, genotype = (
            WidthsOfParent(compression=self.compressions[0]),
            self.compressions[0].source.genotype,
        )
        dense = dense_network(space, genotype)
        made = [
            self._random_mask(),
            self._dense(dense),
            self._int8(int8_network(space, genotype, dense), dense),
        ]
        # What is uniform itself has no need of another one.
        return made if self.request.mapping is Mapping.UNIFORM else [self._uniform(), *made]

    def _uniform(self) -> Control:
        fitted = []
        try:
            for one in self.compressions:
                planner = replace(one.planner, mapping=Mapping.UNIFORM)
                fitted.append(self._fit("uniform", one, planner, self._order(one)))
        except BudgetInfeasibleError as error:
            return Control(name="uniform", facts={"absent": str(error)})
        return self._exported("uniform", fitted)

    def _random_mask(self) -> Control:
        fitted = []
        for one in self.compressions:
            masks = {
                path: Sparsity(pattern=layer.pattern, density=layer.density)
                for path, layer in sparse_layers(one.pruned()).items()
            }
            order = {**self._order(one), "masks": masks}
            goal = replace(one.dense, random_masks=masks)
            fitted.append(self._fit("random-mask", one, goal, order))
        return self._exported("random-mask", fitted)

    def _dense(self, network: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="dense", facts={"absent": OVER_BUDGET})
        return self._exported("dense", self._fit_dense("dense", network), network)

    def _int8(self, network: PricedNetwork | None, dense: PricedNetwork | None) -> Control:
        if network is None:
            return Control(name="int8", facts={"absent": OVER_BUDGET})
        is_dense_control = dense is not None and dense.genotype == network.genotype
        fitted = self._fit_dense("dense" if is_dense_control else "int8-parent", network)
        graph = WidthsOfParent(compression=self.compressions[0]).graph(network.genotype)
        folders = [self._folder("int8", seed) for seed in self.request.training_seeds]
        try:
            for one, folder in zip(fitted, folders, strict=True):
                trained = read_result(one.folder / "train.json")
                start_folder(folder, {"graph": graph.to_dict(), "trained": trained})
                if not (folder / "int8.json").exists():
                    write_int8(folder, one.network.cpu(), graph, self.dataset)
        except QuantizationError as error:
            return Control(name="int8", facts={"absent": str(error)})
        files = [read_result(folder / "int8.json") for folder in folders]
        prediction = network.predictions[0]
        facts = {
            "genotype": network.genotype.to_dict(),
            "density": 1.0,
            "calibration_images": files[0]["calibration_images"],
            "prediction": None if prediction is None else asdict(prediction),
            "regime": Regime.STOCK.value,
            **self._file(folders[0], files[0]),
        }
        values = tuple(found["accuracy"] for found in files)
        images = len(self.dataset.test_labels)
        return Control(
            name="int8", accuracies=Accuracies(values=values, test_images=images), facts=facts
        )

    def _fit_dense(self, name: str, network: PricedNetwork) -> list[Fitted]:
        """Train a width of the network dense, the parent's own included, and tune it as long."""
        found = []
        for one in self.compressions:
            order = {**self._order(one), "genotype": network.genotype.to_dict()}
            narrower = one
            if network.genotype != one.source.genotype:
                folder = self._folder(f"{name}-from", one.request.seed)
                start_folder(folder, order)
                source = Source(genotype=network.genotype)
                narrower = self._compression(one.request.seed, folder, source)
            found.append(self._fit(name, narrower, one.dense, order, teacher=one))
        return found

    def _fit(
        self,
        name: str,
        compression: Compression,
        aim: Planner | Goal,
        order: dict[str, Any],
        teacher: Compression | None = None,
    ) -> Fitted:
        """Make of the parent of a compression something else, in a folder of its own."""
        seed = compression.request.seed
        folder = self._folder(name, seed)
        start_folder(folder, order)
        other = compression.elsewhere(folder, self._named(name, seed))
        if not (folder / "export.json").exists():
            parent = compression.parent()
            goal = other.goal(parent, aim) if isinstance(aim, Planner) else aim
            teaching = None if teacher is None else teacher.parent()
            other.export(other.prune(parent, goal, teaching))
        return Fitted(folder=folder, network=other.pruned())

    def _order(self, compression: Compression) -> dict[str, Any]:
        """Return what the training of a control depends on."""
        return {
            "request": asdict(replace(compression.request, seeds=1)),
            "table": self.table.version,
            "dataset": self.dataset.sha256(),
        }

    def _exported(
        self, name: str, fitted: Sequence[Fitted], priced: PricedNetwork | None = None
    ) -> Control:
        folder = fitted[0].folder
        exported = read_result(folder / "export.json")
        before = None if priced is None else priced.predictions[0]
        facts = {
            **({} if before is None else {"prediction_before_training": asdict(before)}),
            "genotype": exported["genotype"],
            "density": read_result(folder / "train.json")["density"],
            "prediction": exported["prediction"],
            "regime": exported["regime"],
            **self._file(folder, exported),
        }
        accuracies = self._accuracies([one.folder for one in fitted])
        return Control(name=name, accuracies=accuracies, facts=facts)

    def _accuracies(self, folders: Sequence[Path]) -> Accuracies:
        values = tuple(read_result(folder / "export.json")["accuracy"] for folder in folders)
        return Accuracies(values=values, test_images=len(self.dataset.test_labels))

    def _file(self, folder: Path, written: dict[str, Any]) -> dict[str, Any]:
        return {
            "path": str((folder / "model.onnx").relative_to(self.work)),
            "sha256": written["sha256"],
            "bytes": written["bytes"],
        }

    def _compression(self, seed: int, folder: Path, source: Source | None = None) -> Compression:
        request = replace(self.request, seed=seed)
        progress = self._named(folder.name, seed)
        return Compression(request, folder, self.dataset, self.table, progress, source)

    def _named(self, name: str, seed: int) -> Progress:
        return NamedProgress(inner=self.progress, name=f"{name}, seed {seed}")

    def _folder(self, name: str, seed: int) -> Path:
        return self.work / CONTROLS_FOLDER / f"{name}-{seed}"
