"""The stage `compress`: a dense parent, a plan by the table, pruning, fine-tuning, export.

    derive.json -> parent.json, parent.pt -> plan.json -> train.json, network.pt -> export.json,
    model.onnx, genotype.json -> compress.json

Files of the same name are as those of a search. The stage may be run again: finished trainings are
not repeated, the result file is written last.
"""

import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.profile_file import write_plan
from latency.files import write_atomic
from latency.graph import NetworkGraph
from latency.messages import ProfileWork
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.compress.axes import Int8Planner, LayerPlanner, LeastDistorting
from search.compress.planner import Planner
from search.compress.request import TUNING_RATE, Axis, CompressRequest
from search.compress.source import Source, load_source
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.engine.checkpoint import load_checkpoint, read_result, save_checkpoint, write_json
from search.engine.progress import Progress
from search.export.export import export_network
from search.export.int8 import runtime_accuracy
from search.finalize.densities import measured_options
from search.finalize.graph_network import GraphNetwork
from search.finalize.int8_layers import UnmeasuredError
from search.finalize.layer_plan import LayerPlan
from search.finalize.run import Goal, TrainOutcome
from search.finalize.schedule import TrainSchedule, schedule_for
from search.finalize.teacher import Teacher
from search.finalize.train import AnyNetwork, evaluate, make_network, split_training, train_final
from search.layers.sparse import LayerMode, set_mode
from search.space.networks import network_graph
from search.stages import PARITY_IMAGES, export_result, file_metadata, train_result

_CALIBRATION_IMAGES = 256  # of those that are trained on: what layers lose is judged by them
INT8_PLAN = "int8-plan.json"  # for a device: what a table lacks that has no prices in int8


class Compression:
    """One request on its data and its table; `run_compress` calls its steps in order.

    Args:
        request: what is compressed, and to what.
        work: results and checkpoints.
        dataset: trained and tested on.
        table: prices of the target.
        progress: hears of every epoch.
        source: the dense network, if it is another than the request names: of a control.

    Raises:
        ValueError: as `load_source`.
    """

    def __init__(
        self,
        request: CompressRequest,
        work: Path,
        dataset: Dataset,
        table: LatencyTable,
        progress: Progress,
        source: Source | None = None,
    ) -> None:
        self.request, self.work, self.dataset = request, work, dataset
        self.table, self.progress = table, progress
        self.estimator = TableEstimator(table)
        examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
        self.calibration_images = examples.sample(PARITY_IMAGES).images
        self.parity_images = self.calibration_images.cpu()
        self.recipe = schedule_for(request.recipe)
        self.split = split_training(examples, request.seed, self.recipe.valid_fraction)
        self.dense = Goal(density=1.0, pattern=SparsityPattern.UNSTRUCTURED, seed=request.seed)
        self.source = source or load_source(request, dataset.task, self.parity_images, self.dense)
        self.graph: NetworkGraph = network_graph(self.source.genotype, dataset.task)
        self.planner = Planner(
            graph=self.graph,
            estimator=self.estimator,
            budget_ms=request.budget.tightened_ms,
            options=measured_options(table),
            examples=self.split.train.sample(_CALIBRATION_IMAGES),
            distortion=request.distortion,
            mapping=request.mapping,
            seed=request.seed,
        )
        self.plans = self._plans()

    def derive(self) -> Prediction:
        """Write derive.json: the dense network; return its prediction.

        Raises:
            BudgetInfeasibleError: no plan of its layers is within the budget. That is a matter of
                prices, not of weights, so it is known before any training.
            UnmeasuredError: layers may be int8 and the table prices none of them so; INT8_PLAN
                then says what to measure.
        """
        self._check_plan()
        prediction = self.estimator.predict(self.graph)
        values = {
            "budget_ms": self.request.budget_ms,
            "tighten": self.request.tighten,
            "derived": self.source.genotype.to_dict(),
            "genotype": self.source.genotype.to_dict(),
            "graph": self.estimator.fastest_form(self.graph).to_dict(),
            "prediction": asdict(prediction),
            "repaired": False,
            "widths": {},
        }
        write_json(self.work / "derive.json", values)
        return prediction

    def parent(self) -> AnyNetwork:
        """Return the dense network with its weights, and write parent.json about it."""
        network, path = self.untrained(), self.work / "parent.pt"
        if path.exists() and (self.work / "parent.json").exists():
            network.load_state_dict(load_checkpoint(path)["network"])
            return network.eval()
        outcome = self._dense(network)
        save_checkpoint(path, {"network": network.state_dict()})
        result = train_result(network, outcome, self.dataset, self.request.dataset)
        result["trained"] = self.source.weights is None
        result["max_abs_difference"] = self.source.max_abs_difference
        write_json(self.work / "parent.json", result)
        return network.eval()

    def goal(self, parent: AnyNetwork, planner: LayerPlanner) -> Goal:
        """Return what the parent becomes: pruned by its plan, which is written to plan.json.

        It is made before the training, as it may take longer than a measurement on this machine
        should wait for a step.
        """
        path = self.work / "plan.json"
        if path.exists() and planner.has_made(known := read_result(path)):
            plan = LayerPlan.from_dict(known)
        else:
            plan = planner(parent)
            # A training that began with another plan would go on with that one.
            self._checkpoint.unlink(missing_ok=True)
            write_json(path, plan.to_dict())
        return replace(self.dense, plan=lambda _network: plan)

    def prune(
        self, parent: AnyNetwork, goal: Goal, teacher: AnyNetwork | None = None
    ) -> AnyNetwork:
        """Write network.pt and train.json: the parent pruned to a goal and fine-tuned.

        Args:
            parent: dense, trained; left as it is.
            goal: its own, or that of a control, which is trained as long.
            teacher: of whom logits are learnt if the request says so; the parent if not given.
        """
        network = copy.deepcopy(parent)
        set_mode(network, LayerMode.DENSE)
        schedule, wanted = self._tuning(), self.request.distillation
        if wanted is not None:
            goal = replace(goal, teacher=Teacher(network=teacher or parent, **asdict(wanted)))
        outcome = train_final(
            network,
            self.split,
            schedule,
            goal,
            checkpoint=self._checkpoint,
            report=self.progress.report,
        )
        save_checkpoint(self.work / "network.pt", {"network": network.state_dict()})
        result = {
            **train_result(network, outcome, self.dataset, self.request.dataset),
            "epochs": schedule.epochs,
            "pattern": None,
        }
        write_json(self.work / "train.json", result)
        return network

    def pruned(self) -> AnyNetwork:
        """Return the network that `prune` left.

        Raises:
            ValueError: network.pt is missing or damaged.
        """
        network = self.untrained()
        network.load_state_dict(load_checkpoint(self.work / "network.pt")["network"])
        return network.eval()

    def elsewhere(self, work: Path, progress: Progress) -> "Compression":
        """Return the same for another folder, where the parent may become something else."""
        other = copy.copy(self)
        other.work, other.progress = work, progress
        return other

    def export(self, network: AnyNetwork) -> dict[str, Any]:
        """Write model.onnx, genotype.json and export.json.

        The accuracy of a file with operators in int8 is what ONNX Runtime classifies rightly.

        Raises:
            ParityError: ONNX Runtime does not compute what PyTorch does.
            QuantizationError: ONNX Runtime cannot quantize the network.
        """
        request = self.request
        trained = read_result(self.work / "train.json")
        int8 = tuple((trained["plan"] or {}).get("int8", ()))  # a control may have no plan
        metadata = file_metadata(
            request.dataset, request.seed, self.dataset, self.table, request.budget
        )
        exported = export_network(
            network.cpu(),
            self.parity_images,
            metadata=metadata | {"edgewright.densities": "budget"},
            estimator=self.estimator,
            int8=int8,
        )
        write_atomic(self.work / "model.onnx", exported.model)
        write_atomic(self.work / "genotype.json", (exported.genotype.to_json() + "\n").encode())
        result = export_result(exported, "model.onnx", self.estimator)
        result["parity_images"] = len(self.parity_images)
        result["accuracy"] = trained["accuracy"]
        if int8:
            test = Examples(images=self.dataset.test_images, labels=self.dataset.test_labels)
            result["accuracy"] = runtime_accuracy(exported.model, test)
        result["int8"] = list(exported.graph.int8_names)
        write_json(self.work / "export.json", result)
        return result

    @property
    def _checkpoint(self) -> Path:
        return self.work / "checkpoints" / "train.pt"

    def _check_plan(self) -> None:
        try:
            self.plans.check(self.untrained())
        except UnmeasuredError as error:
            path = self.work / INT8_PLAN
            write_plan(path, ProfileWork(operators=error.operators))
            raise UnmeasuredError(error.operators, str(path)) from error

    def _plans(self) -> LayerPlanner:
        """Return what plans the layers, over the axes of the request."""
        planners: dict[Axis, LayerPlanner] = {
            Axis.PATTERN: self.planner,
            Axis.INT8: Int8Planner(
                graph=self.graph,
                estimator=self.estimator,
                budget_ms=self.request.budget.tightened_ms,
                images=self.calibration_images,
            ),
        }
        wanted = [planners[axis] for axis in self.request.axes]
        return wanted[0] if len(wanted) == 1 else LeastDistorting(planners=wanted)

    def untrained(self) -> AnyNetwork:
        """Return the network with the weights that it comes with, or with drawn ones."""
        device = self.dataset.train_images.device
        network: AnyNetwork = make_network(
            self.source.genotype, self.dataset.task, self.dense, device
        )
        if isinstance(network, GraphNetwork) and self.source.weights is not None:
            network.take_weights(self.source.weights)
        return network

    def _dense(self, network: AnyNetwork) -> TrainOutcome:
        """Train a network that has no weights, by the whole of its recipe; judge one that has."""
        if self.source.weights is not None:
            accuracy = evaluate(network, self.split.valid)
            return TrainOutcome(valid_accuracy=accuracy, epoch=0, density=1.0)
        return train_final(
            network,
            self.split,
            self.recipe,
            self.dense,
            checkpoint=self.work / "checkpoints" / "parent.pt",
            report=lambda event: self.progress.report({"parent": True, **event}),
        )

    def _tuning(self) -> TrainSchedule:
        """Return the schedule of what is trained already: no dense phase, and a lower rate."""
        rate = self.request.learning_rate or TUNING_RATE * self.recipe.learning_rate
        return replace(
            self.recipe, dense_epochs=0, learning_rate=rate, mask_rule=self.request.mask_rule
        )


def run_compress(
    request: CompressRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable,
    progress: Progress,
) -> dict[str, Any]:
    """Write compress.json: what the network was, what it is now, and what it takes.

    Raises:
        BudgetInfeasibleError: no plan is within the budget; it says what one would be.
        UnmeasuredError: layers may be int8, and the table prices none of them so.
        ParityError: a network changes what it computes on its way in or out.
        ValueError: as `load_source`.
    """
    compression = Compression(request, work, dataset, table, progress)
    dense = compression.derive()
    parent = compression.parent()
    network = compression.prune(parent, compression.goal(parent, compression.plans))
    exported = compression.export(network)
    before, trained = read_result(work / "parent.json"), read_result(work / "train.json")
    result = {
        "network": request.network,
        "width": request.width,
        "budget_ms": request.budget_ms,
        "tighten": request.tighten,
        "mapping": request.mapping.value,
        "mask_rule": request.mask_rule.value,
        "distillation": None if request.distillation is None else asdict(request.distillation),
        "parent": {**before, "prediction": asdict(dense)},
        "axes": [axis.value for axis in request.axes],
        "int8": exported["int8"],
        "accuracy": exported["accuracy"],
        "accuracy_lost": before["accuracy"] - exported["accuracy"],
        "density": trained["density"],
        "prediction": exported["prediction"],
        "within_budget": exported["prediction"]["high_ms"] <= request.budget.tightened_ms,
        "predicted_speedup": dense.latency_ms / exported["prediction"]["latency_ms"],
        "plan": trained["plan"],
    }
    write_json(work / "compress.json", result)
    progress.report({"accuracy": exported["accuracy"], "prediction": exported["prediction"]})
    return result
