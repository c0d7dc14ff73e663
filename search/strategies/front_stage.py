"""The stage `front`: several networks from one search, from fast to slow, in DIR/front.json.

The supernet is trained further, on single paths, until it can judge single networks. Candidates then
come from two sources: the alphas, fitted to budgets between the smallest network and the budget of
the request; and a strategy within the budget, evolution or, as its rival, random draws. Of several
devices all budgets shrink alike, and every candidate is within each of them.

What a candidate is worth only its own training tells (decision 0021).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.table import LatencyTable
from search.data.dataset import Dataset
from search.engine.checkpoint import write_json
from search.engine.problem import PricedDevice, SearchProblem, priced_devices
from search.engine.progress import Progress
from search.engine.recipes import recipe_named
from search.engine.search_stage import read_alphas
from search.problems.choice import problem_of
from search.requests import SearchRequest
from search.space.networks import network_graph
from search.strategies.common_network import on_other_devices
from search.strategies.front import Candidate, chosen_candidates, ranked
from search.strategies.front_sources import CandidateMaker, fit_share
from search.strategies.shared_weights import train_shared_weights

RESULT = "front.json"
# Networks that a strategy judges, by recipe.
EVALUATIONS = {"tiny": 8, "quick": 60, "cpu": 60, "standard": 300, "dass-paper": 300, "gpu": 600}


def run_front(
    request: SearchRequest,
    work: Path,
    dataset: Dataset,
    table: LatencyTable | None,
    progress: Progress,
    *,
    others: Sequence[LatencyTable] = (),
) -> dict[str, Any]:
    """Write front.json: `request.front` candidates within the budget, what is derived among them.

    Where those that nothing dominates are fewer, others follow; `rank` says which are dominated.
    Each has its genotype, its prediction, its graph in the form that is fastest on the target, and
    `shared_weight_accuracy`, which is a hint for an order and no accuracy to expect. Of several
    devices it has the others in `also`, as derive.json has them, and `budget_used`: the largest
    share that one of them needs of its budget, by which they are ordered and compared.

    Args:
        request: what was searched; `tighten` is applied to the budget.
        work: holds search.json and checkpoints/search.pt.
        dataset: of the search; its test images are not used.
        table: prices of the target.
        progress: hears of each epoch of single paths, and of each network that the strategy has judged.
        others: tables of the other devices of the request, whose budgets are kept as well.

    Raises:
        BudgetInfeasibleError: no network of the space is within every budget.
        ValueError: there is no table, or the search is missing, damaged or has not ended.
    """
    if table is None:
        raise ValueError("front: a latency table is needed to tell fast networks from slow ones")
    problem = problem_of(request, dataset.task)
    alphas = read_alphas(work)
    devices = priced_devices(problem, [table, *others])
    derived = fit_share(problem, alphas, devices, 1.0)  # refused before any training
    judge = train_shared_weights(request, work, dataset, progress)
    maker = CandidateMaker(problem, devices, judge)
    state = work / strategy_state(request)
    found = maker.from_strategy(EVALUATIONS[request.recipe], state, progress)
    found += maker.from_alphas(alphas, derived, found)
    candidates = chosen_candidates(found, request.front)
    result = {
        "budget_ms": request.budget_ms,
        "tighten": request.tighten,
        "candidates": [_stated(one, problem, devices) for one in candidates],
        "judged_images": judge.judged_images,
        "path_epochs": recipe_named(request.recipe).path_epochs,
        "considered": len(ranked(found)),
    }
    write_json(work / RESULT, result)
    progress.report({"candidates": len(candidates)})
    return result


def strategy_state(request: SearchRequest) -> Path:
    """Return where what the strategy has judged so far is kept, in the work folder."""
    return Path("checkpoints") / f"{request.strategy}.json"


def _stated(
    candidate: Candidate, problem: SearchProblem[Any], devices: Sequence[PricedDevice]
) -> dict[str, Any]:
    """Return what front.json says of a candidate: the network in the form that is fastest, too."""
    graph = network_graph(candidate.genotype, problem.space.task)
    own = {"graph": devices[0].estimator.fastest_form(graph).to_dict()}
    if len(devices) == 1:
        return candidate.to_dict() | own
    others = {
        "budget_used": candidate.budget_used,
        "also": on_other_devices(problem.request, devices, graph),
    }
    return candidate.to_dict() | own | others
