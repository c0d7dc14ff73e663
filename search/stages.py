"""The stages: search, derive, train, export. Each reads what the one before has written.

    search.json -> derive.json -> train.json, network.pt -> export.json, model.onnx, genotype.json

Every stage may be run again: it writes its files whole, the result file last.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latency.estimate.lookup_table import TableEstimator
from latency.files import write_atomic
from latency.operator import SparsityPattern
from latency.table import LatencyTable
from search.data.batches import Examples
from search.data.dataset import Dataset
from search.engine.checkpoint import (
    load_checkpoint,
    read_result,
    save_checkpoint,
    write_json,
)
from search.engine.problem import priced_devices
from search.engine.progress import Progress
from search.engine.recipes import recipe_named
from search.engine.search_stage import NO_DEPARTURES, Departures, read_alphas, search_alphas
from search.export.export import ExportResult, export_network
from search.finalize.choose_layers import layer_planner
from search.finalize.run import Goal, TrainOutcome
from search.finalize.schedule import schedule_for
from search.finalize.train import (
    AnyNetwork,
    evaluate,
    make_network,
    split_training,
    train_final,
)
from search.layers.sparse import sparse_layers
from search.problems.choice import problem_of
from search.requests import DatasetRef, DeviceBudget, SearchRequest
from search.space.networks import AnyGenotype, network_graph, read_genotype
from search.space.sparsity import Sparsity
from search.strategies.common_network import on_other_devices, regret_result
from search.strategies.specialise import what_to_leave_out

PARITY_IMAGES = 64


def run_search(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    others: Sequence[LatencyTable] = (),
) -> dict[str, Any]:
    """Write search.json: the architecture parameters; as `search_alphas`.

    Raises:
        ValueError: as `search_alphas`; or operations are to be left out and there is no table.
    """
    problem = problem_of(request, dataset.task)
    tables = [] if table is None else [table, *others]
    departures = NO_DEPARTURES
    if request.specialise:
        departures = Departures(left_out=what_to_leave_out(problem, tables))
    return search_alphas(problem, work, dataset, tables, progress, departures)


def run_derive(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    others: Sequence[LatencyTable] = (),
) -> dict[str, Any]:
    """Write derive.json: the discrete network whose predicted interval is within the budget.

    A recipe that repairs nothing keeps the network that the alphas say, whatever its prediction. A
    genotype in the request is taken as it is: then nothing was searched. Of several devices `also`
    has the others, and of a network that was fitted to them `regret` says what each alone could have.

    Args:
        request: what is searched; `tighten` is applied to the budget.
        work: holds search.json with the architecture parameters.
        dataset: gives the shape of the task.
        table: prices of the target; without one widths stay full and nothing is predicted.
        progress: hears of the result.
        others: tables of the other devices of the request, whose budgets are kept as well.

    Raises:
        BudgetInfeasibleError: no network of the space is within the budget.
        ValueError: search.json is missing or malformed.
    """
    problem = problem_of(request, dataset.task)
    given = request.genotype
    alphas = {} if given is not None else read_alphas(work)
    genotype = problem.derive(alphas) if given is None else read_genotype(given)
    result: dict[str, Any] = {
        "budget_ms": request.budget_ms,
        "tighten": request.tighten,
        "derived": genotype.to_dict(),
        "repaired": False,
        "prediction": None,
    }
    devices = () if table is None else priced_devices(problem, [table, *others])
    if devices and given is None and recipe_named(request.recipe).repaired:
        first, *rest = devices
        fitted = problem.fit(alphas, first.estimator, first.budget_ms, rest)
        genotype = fitted.genotype
        result["repaired"] = fitted.repaired
        result |= fitted.facts
        if others:
            result["regret"] = regret_result(problem, alphas, devices, genotype)
    result["genotype"] = genotype.to_dict()
    graph = network_graph(genotype, dataset.task)
    if devices:
        result["prediction"] = asdict(devices[0].estimator.predict(graph))
        if others:
            result["also"] = on_other_devices(request, devices, graph)
        graph = devices[0].estimator.fastest_form(graph)
    result["graph"] = graph.to_dict()
    result["widths"] = _widths(genotype)
    write_json(work / "derive.json", result)
    progress.report({"repaired": result["repaired"], "prediction": result["prediction"]})
    return result


def _widths(genotype: AnyGenotype) -> dict[str, float]:
    """Return the fraction of channels that is kept, by layer, where it is not all of them."""
    return {
        choice.layer: choice.density
        for choice in genotype.layers
        if choice.pattern is SparsityPattern.CHANNEL
    }


def run_train(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    random_masks: Mapping[str, Sparsity] | None = None,
) -> dict[str, Any]:
    """Write network.pt and train.json: the derived network, trained, pruned and fine-tuned.

    The test images are used here, once, when nothing is left to choose. With `random_masks`, what
    the layers end as by path, masks are drawn and not chosen by magnitude: a control.

    Raises:
        BudgetInfeasibleError: layers are planned by the table, and no plan is within the budget.
        ValueError: derive.json is missing; or layers are planned by a table, and there is none.
    """
    genotype = read_genotype(read_result(work / "derive.json")["genotype"])
    goal = replace(_goal(request), random_masks=random_masks)
    if random_masks is None:
        graph = network_graph(genotype, dataset.task)
        goal = replace(goal, plan=layer_planner(request, graph, table))
    schedule = schedule_for(request.recipe)
    network = make_network(genotype, dataset.task, goal, dataset.train_images.device)
    examples = Examples(images=dataset.train_images, labels=dataset.train_labels)
    outcome = train_final(
        network,
        split_training(examples, request.seed, schedule.valid_fraction),
        schedule,
        goal,
        checkpoint=work / "checkpoints" / "train.pt",
        report=progress.report,
    )
    save_checkpoint(work / "network.pt", {"network": network.state_dict()})
    result = {
        **train_result(network, outcome, dataset, request.dataset),
        "epochs": schedule.epochs,
        "pattern": request.pattern.value if request.planning_table(table) is None else None,
    }
    write_json(work / "train.json", result)
    return result


def train_result(
    network: AnyNetwork, outcome: TrainOutcome, dataset: Dataset, reference: DatasetRef
) -> dict[str, Any]:
    """Return what train.json says of a trained network of any origin; the test images are used."""
    test = Examples(images=dataset.test_images, labels=dataset.test_labels)
    layers = sparse_layers(network).values()
    return {
        "accuracy": evaluate(network, test),
        "test_images": len(test),
        "dataset": {"format": reference.format, "sha256": dataset.sha256()},
        "valid_accuracy": outcome.valid_accuracy,
        "epoch": outcome.epoch,
        "density": outcome.density,
        "plan": None if outcome.plan is None else outcome.plan.facts,
        "parameters": sum(layer.weight.numel() for layer in layers),
        "nonzeros": sum(layer.kept_weights() for layer in layers),
    }


def run_export(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    others: Sequence[LatencyTable] = (),
) -> dict[str, Any]:
    """Write model.onnx, genotype.json and export.json from the trained network.

    Each other device has a file of its own, model-2.onnx and so on: the same weights, in the
    regime and at the widths that are fastest there. `also` of export.json describes them in order.

    Raises:
        ParityError: ONNX Runtime does not compute what PyTorch does.
    """
    network = trained_network(request, work, dataset)
    seen = Examples(images=dataset.train_images, labels=dataset.train_labels)
    images = seen.sample(PARITY_IMAGES).images.cpu()
    results: list[dict[str, Any]] = []
    for budget, priced in zip(request.budgets, (table, *others), strict=True):
        # One for both uses: it fits what the table lacks when it is first asked, which takes seconds.
        estimator = None if priced is None else TableEstimator(priced)
        exported = export_network(
            network,
            images,
            metadata=_metadata(request, dataset, priced, budget),
            estimator=estimator,
        )
        path = f"model-{len(results) + 1}.onnx" if results else "model.onnx"
        write_atomic(work / path, exported.model)
        results.append(export_result(exported, path, estimator) | {"parity_images": len(images)})
        progress.report(
            {"bytes": len(exported.model), "max_abs_difference": exported.max_abs_difference}
        )
    text = exported.genotype.to_json() + "\n"  # the same on every device
    write_atomic(work / "genotype.json", text.encode())
    result = results[0] | ({"also": results[1:]} if others else {})
    write_json(work / "export.json", result)
    return result


def trained_network(request: SearchRequest, work: Path, dataset: Dataset) -> AnyNetwork:
    """Return the network that `run_train` left in a folder, on the processor.

    Raises:
        ValueError: derive.json or network.pt is missing or damaged.
    """
    genotype = read_genotype(read_result(work / "derive.json")["genotype"])
    network = make_network(genotype, dataset.task, _goal(request))
    network.load_state_dict(load_checkpoint(work / "network.pt")["network"])
    return network


def _goal(request: SearchRequest) -> Goal:
    return Goal(density=request.density, pattern=request.pattern, seed=request.seed)


def _metadata(
    request: SearchRequest, dataset: Dataset, table: LatencyTable | None, budget: DeviceBudget
) -> dict[str, str]:
    planned = request.planning_table(table) is None
    metadata = file_metadata(request.dataset, request.seed, dataset, table, budget)
    metadata["edgewright.densities"] = "planned" if planned else "budget"
    if planned:  # else each layer has its own, in the genotype
        metadata["edgewright.density"] = f"{request.density:g}"
        metadata["edgewright.pattern"] = request.pattern.value
    return metadata


def file_metadata(
    reference: DatasetRef,
    seed: int,
    dataset: Dataset,
    table: LatencyTable | None,
    budget: DeviceBudget,
) -> dict[str, str]:
    """Return what every exported file says of its data, and of the table that priced it."""
    metadata = {
        "edgewright.version": _own_version(),
        "edgewright.dataset": reference.format,
        "edgewright.classes": json.dumps(dataset.class_names),
        # Pixels from 0 to 1, less the mean, over the deviation, per channel.
        "edgewright.mean": json.dumps(dataset.mean),
        "edgewright.std": json.dumps(dataset.std),
        "edgewright.seed": str(seed),
        "edgewright.budget_ms": f"{budget.budget_ms:g}",
    }
    if table is not None:
        metadata["edgewright.table_version"] = str(table.version)
        metadata["edgewright.target"] = table.target.label()
        metadata["edgewright.target_fingerprint"] = table.target.fingerprint
    return metadata


def _own_version() -> str:
    try:
        return version("edgewright")
    except PackageNotFoundError:
        return "unknown"


def export_result(
    exported: ExportResult, path: str, estimator: TableEstimator | None
) -> dict[str, Any]:
    """Return what export.json says of an exported network of any origin."""
    prediction = None if estimator is None else asdict(estimator.predict(exported.graph))
    return {
        "path": path,
        "prediction": prediction,
        "sha256": exported.sha256,
        "bytes": len(exported.model),
        "max_abs_difference": exported.max_abs_difference,
        "density_per_layer": exported.density_per_layer,
        "weights": exported.weights,
        "nonzeros": exported.nonzeros,
        "removed_channels": exported.removed_channels,
        "genotype": exported.genotype.to_dict(),
        "graph": exported.graph.to_dict(),
        "regime": exported.graph.regime.value,
        "dense_parent": exported.dense_parent.to_dict(),
    }
