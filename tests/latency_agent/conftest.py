"""Fixtures of the agent's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from latency.agent.job_runner import Workplace
from latency.agent.model_cache import ModelCache
from latency.agent.service_api import ServiceApi
from latency.agent.settings import AgentSettings
from latency.agent.spool_store import SpoolStore
from latency.agent.stop import StopSignal
from tests.latency_agent.fake_server import AGENT_TOKEN, FakeServer, serving
from tests.latency_agent.samples import FAST, SteadyMeasurer

MakeWorkplace = Callable[..., Workplace]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving(FakeServer()) as state:
        yield state


@pytest.fixture
def stop() -> StopSignal:
    return StopSignal()


@pytest.fixture
def api(server: FakeServer) -> Iterator[ServiceApi]:
    api = ServiceApi(server.address, AGENT_TOKEN, FAST)
    yield api
    api.close()


@pytest.fixture
def measurer() -> SteadyMeasurer:
    return SteadyMeasurer()


@pytest.fixture
def make_workplace(tmp_path: Path, api: ServiceApi, measurer: SteadyMeasurer) -> MakeWorkplace:
    """Return a maker of workplaces on one state folder, as a restarted agent would have it."""

    def make(settings: AgentSettings = FAST) -> Workplace:
        return Workplace(
            api=api,
            measurer=measurer,
            spools=SpoolStore(tmp_path, measurer.conditions),
            models=ModelCache(tmp_path / "models", api, capacity=2),
            settings=settings,
        )

    return make
