"""The stage `controls`: train what the searched network has to beat, and say whether it does.

    derive.json, train.json, network.pt, export.json -> controls.json, controls/NAME-SEED/

Controls, all within the same budget by the same table, or of several devices within every budget:

    random       a network that was drawn, not searched, about as slow; another for each seed
    dense        the same network with every weight kept, and as few channels as that takes
    int8         the same, quantized by ONNX Runtime, whose accuracy it is
    random-mask  the same network, patterns and densities, but masks drawn at random

Each is trained like the searched network, with each seed of the request; so is that network itself.
Of several devices, each has a file of each control, in the form that is fastest there.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.table import LatencyTable
from search.controls.bench import Bench
from search.controls.lines import write_comparison
from search.controls.space import SearchedSpace
from search.controls.trainings import Trainings
from search.data.dataset import Dataset
from search.engine.checkpoint import read_result
from search.engine.problem import priced_devices
from search.engine.progress import Progress
from search.finalize.fit_devices import largest_share
from search.problems.choice import problem_of
from search.requests import SearchRequest
from search.space.networks import network_graph, read_genotype


def run_controls(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    others: Sequence[LatencyTable] = (),
) -> dict[str, Any]:
    """Write controls.json, and the files of each control that its `path` and those of `also` name.

    Trainings that were finished before are not repeated; one that was interrupted goes on from its
    last epoch.

    Args:
        request: what was searched; each of its `seeds` trains every network once.
        work: holds the results of the stages before.
        dataset: of the search.
        table: prices of the target.
        progress: hears of every epoch, and of every verdict.
        others: tables of the other devices of the request, whose budgets controls keep as well.

    Raises:
        ValueError: there is no table, or was none in `derive`; or a stage before is missing.
    """
    derived = read_result(work / "derive.json")
    if table is None or derived["prediction"] is None:
        raise ValueError(
            "controls: they are under the budget of the search by the same table, so derive and "
            "controls need --table"
        )
    problem = problem_of(request, dataset.task)
    devices = priced_devices(problem, [table, *others])
    searched_network = read_genotype(derived["genotype"])
    graph = network_graph(searched_network, dataset.task)
    predictions = [one.estimator.predict(graph) for one in devices]
    bench = Bench(
        request=request,
        space=SearchedSpace(problem, devices),
        trainings=Trainings(
            work=work, dataset=dataset, table=table, others=tuple(others), progress=progress
        ),
        searched=searched_network,
        searched_share=largest_share(predictions, devices),
    )
    networks = bench.train_searched()
    searched, controls = bench.accuracies(networks), bench.controls(networks)
    return write_comparison(work, "searched", searched, controls, request.training_seeds, progress)
