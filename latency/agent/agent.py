"""Putting the agent together: the only place where its parts are made and joined."""

from pathlib import Path

from latency.agent.claim_loop import claim_work
from latency.agent.job_runner import Workplace
from latency.agent.local_measurer import LocalMeasurer
from latency.agent.model_cache import ModelCache
from latency.agent.service_api import ServiceApi
from latency.agent.settings import AgentSettings
from latency.agent.spool_store import SpoolStore
from latency.agent.state import Identity, sole_agent
from latency.agent.stop import StopSignal


def run_agent(
    identity: Identity, state_dir: Path, settings: AgentSettings, stop: StopSignal
) -> None:
    """Work for the server until `stop` is set.

    Raises:
        ValueError: another agent runs with this state.
        AccessRevokedError: the server does not accept this device any more.
    """
    with sole_agent(state_dir):
        api = ServiceApi(identity.server, identity.token, settings)
        measurer = LocalMeasurer(identity.setting, settings.again)
        workplace = Workplace(
            api=api,
            measurer=measurer,
            spools=SpoolStore(state_dir, measurer.conditions),
            models=ModelCache(state_dir / "models", api, settings.cached_models),
            settings=settings,
        )
        try:
            claim_work(workplace, stop)
        finally:
            api.close()
