"""A compression from the order to the certificate: real trainers, a device that answers by formula."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from fastapi.testclient import TestClient

from latency.estimate.execution import executed_nodes
from latency.graph import NetworkGraph
from latency.library_form import row_spec
from latency.measurement import Conditions, NetworkMeasurement
from latency.messages import Chunk, Lease
from latency.operator import OperatorSpec, Regime, SparsityPattern
from service.client.event_text import result_lines
from service.database import Database
from service.engine.trainer import TrainerRunner
from service.engine.worker_process import WorkerProcess
from service.jobs.repository import events_after
from service.jobs.schemas import JobRead
from service.jobs.use_cases import artifacts_of, candidates_of, get_job
from service.lifecycle import JobState
from service.worker import search_flow
from service.worker.context import WorkerContext
from service.worker.flow import Flow, JobFailedError, unwrap
from service.worker.search_flow import compress_flow
from service.worker.stage_results import round_folder
from service.worker.stages import StageOrder, train
from tests.search.engine.small import write_dataset
from tests.service.board import Board
from tests.service.given import exploding_file, given_file, given_graph
from tests.service.samples import STARTED, network_result, operator_result, target

pytestmark = pytest.mark.timeout(120)

Stage = Callable[[StageOrder], Awaitable[dict[str, Any]]]


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One database is enough: what trainers do is the same on both."""
    return sqlite_database


@pytest.fixture
def board(board: Board) -> Board:
    """A device that says that it has the operator library."""
    board.target = replace(target(), operator_library="1+test")
    board.claim()
    return board


@pytest.fixture
def training(context: WorkerContext) -> WorkerContext:
    """A worker that can start trainers."""
    runner = TrainerRunner(may_feed=lambda: True, feed_every_s=1.0)
    process = SimpleNamespace(trainers=runner, fence_s=60.0)
    return replace(context, process=cast(WorkerProcess, process))


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages run at once and not from a queue."""

    async def run_here(stage: Stage, order: StageOrder, _priority: int) -> None:
        unwrap(await stage(order))

    monkeypatch.setattr(search_flow, "run_stage", run_here)


def price_ns(spec: OperatorSpec) -> int:
    """Return what the device takes for an operator: in the library zeros pay."""
    priced = row_spec(spec)
    dense = 2000.0 + 0.05 * priced.macs
    return round(dense * (0.2 + 0.6 * priced.density if spec.regime is Regime.LIBRARY else 1.0))


def network_ns(graph: NetworkGraph) -> int:
    return sum(price_ns(node.spec) for node in executed_nodes(graph))


def undisturbed(name: str, ns: int) -> NetworkMeasurement:
    """Return a measurement beside a reference model that always takes as long."""
    return replace(network_result(name, ns=ns), reference_ns=((60_000,) * 5,) * 3)


DENSE_MS = network_ns(given_graph()) * 1e-6


@dataclass(frozen=True, kw_only=True)
class AnsweredFlow(Flow):
    """A flow without an engine: the device works behind each question."""

    board: Board
    files_ns: Iterator[int]  # what the file of the network takes, time by time

    async def step(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = unwrap(await asyncio.to_thread(self.guarded, function, *args, **kwargs))
        asked = function.__name__.startswith("ask_for_")
        if asked or (function.__name__ == "plan_profile" and value["unit_id"] is not None):
            self._work()
        return value

    def _work(self) -> None:
        self.board.digests.clear()
        lease = self.board.work()
        conditions = Conditions(started_at=STARTED)
        chunk = Chunk(attempt=lease.attempt, conditions=conditions, **self._measured(lease))
        assert self.board.upload(lease, chunk).status_code == 204
        assert self.board.finish(lease).status_code == 200

    def _measured(self, lease: Lease) -> dict[str, Any]:
        if lease.profile is None:
            assert lease.verify is not None
            return {"networks": (undisturbed(lease.verify.name, next(self.files_ns)),)}
        specs, named = lease.profile.operators, lease.profile.networks
        return {
            "operators": tuple(operator_result(spec, ns=price_ns(spec)) for spec in specs),
            "networks": tuple(undisturbed(one.name, 5000 + network_ns(one.graph)) for one in named),
        }


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """Orders compressions of files for images of 8x8."""

    admin: TestClient
    board: Board
    context: WorkerContext

    def __call__(self, data: bytes, budget_ms: float, *files_ms: float) -> AnsweredFlow:
        """Return the flow of an order; the file takes so long, time by time."""
        sha256 = self.admin.post("/v1/artifacts", content=data).json()["sha256"]
        order = {
            "device": "board",
            "dataset": "eight",
            "budget_ms": budget_ms,
            "network": sha256,
            "recipe": "tiny",
        }
        response = self.admin.post("/v1/compressions", json=order)
        assert response.status_code == 201, response.text
        return AnsweredFlow(
            context=self.context,
            job_id=response.json()["id"],
            attempt=0,
            board=self.board,
            files_ns=iter([round(ms * 1e6) for ms in files_ms]),
        )


@pytest.fixture
def ordering(admin: TestClient, board: Board, training: WorkerContext, tmp_path: Path) -> Ordering:
    body = {"name": "eight", "format": "npz", "path": write_dataset(tmp_path).path}
    assert admin.post("/v1/datasets", json=body).status_code == 201
    return Ordering(admin=admin, board=board, context=training)


def run(flow: Flow) -> None:
    asyncio.run(compress_flow(flow, lambda order: train(flow.context, order)))


def read_job(flow: Flow) -> JobRead:
    with flow.context.database.reading() as session:
        return JobRead.model_validate(get_job(session, flow.job_id))


def test_what_is_over_its_budget_is_made_tighter_and_certified(ordering: Ordering) -> None:
    budget_ms = 0.8 * DENSE_MS
    slow = 1.08 * budget_ms  # nobody expected that, so it is measured twice
    flow = ordering(given_file(), budget_ms, slow, slow, 0.98 * budget_ms, 0.99 * budget_ms)
    run(flow)
    job = read_job(flow)
    assert job.state is JobState.SUCCEEDED, job.error
    assert list(flow.files_ns) == []
    assert job.result is not None
    certificate = job.result["certificate"]
    assert certificate["met"] is True
    assert certificate["measured"]["latency_ms"] == pytest.approx(0.98 * budget_ms, rel=1e-3)
    assert certificate["predicted"]["high_ms"] <= budget_ms / 1.08
    assert certificate["predicted_before_training"] is None
    compression = certificate["compression"]
    assert (compression["network"], compression["width"]) == (job.request["network"], 1.0)
    assert compression["parent"]["trained"] is False
    assert compression["parent"]["max_abs_difference"] < 1e-3
    lost = compression["parent"]["accuracy"] - certificate["accuracy"]
    assert compression["accuracy_lost"] == pytest.approx(lost)
    assert 0.0 < compression["density"] < 1.0
    dense = compression["parent"]["prediction"]["latency_ms"]
    assert dense > certificate["predicted"]["latency_ms"]
    assert certificate["training"]["plan"]["gap"] >= 0.0
    sparse = {layer["pattern"] for layer in job.result["genotype"]["layers"]}
    assert sparse - {SparsityPattern.DENSE.value}
    with flow.context.database.reading() as session:
        (candidate,) = candidates_of(session, job.id)
        files = {one.name for one in artifacts_of(session, job.id)}
        events = events_after(session, job.id, 0)
    assert candidate.certificate == certificate
    assert files == {"model.onnx", "genotype.json", "certificate.json"}
    stages = {event.payload.get("stage") for event in events if event.kind == "progress"}
    assert "compress" in stages
    parents = [(round_folder(flow, number) / "parent.pt").read_bytes() for number in (0, 1)]
    assert parents[0] == parents[1]
    lines = result_lines(job)
    assert any(line.startswith("dense it has") and "weights are left" in line for line in lines)


def test_a_budget_that_no_plan_meets_ends_the_job_before_any_training(ordering: Ordering) -> None:
    flow = ordering(given_file(), 0.01 * DENSE_MS)
    with pytest.raises(JobFailedError, match="No form of this network runs within") as failed:
        run(flow)
    assert failed.value.error["code"] == "budget-infeasible"
    assert 0.01 * DENSE_MS < failed.value.error["smallest_feasible_ms"] < DENSE_MS
    assert not flow.context.job_folder(flow.job_id).exists()


def test_a_network_that_changes_on_the_way_ends_the_job_with_the_difference(
    ordering: Ordering,
) -> None:
    flow = ordering(exploding_file(), 2.0 * DENSE_MS)
    with pytest.raises(
        JobFailedError, match=r"its output changes on the way: .* differ by"
    ) as failed:
        run(flow)
    assert failed.value.error["code"] == "export-differs"
