"""One lease from its spool to the server's confirmation."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from latency.agent.delivery import Delivery
from latency.agent.errors import (
    AccessRevokedError,
    LeaseCancelledError,
    LeaseLostError,
    RefusedError,
    StoppedError,
)
from latency.agent.heartbeat_loop import HeartbeatLoop
from latency.agent.measurer import Measurer
from latency.agent.model_cache import ModelCache
from latency.agent.service_api import ServiceApi
from latency.agent.settings import AgentSettings
from latency.agent.spool import Measurement, Spool
from latency.agent.spool_store import SpoolStore
from latency.agent.stop import StopSignal
from latency.messages import Heartbeat, Lease, Outcome, ProfileWork, VerifyWork, WorkKind
from latency.target import Target

log = logging.getLogger(__name__)

STOP_MAY_FOLLOW_S = 0.3
MAX_ERROR = 1_000  # characters; a runtime can be very talkative, and the server has a limit


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What every job of this agent uses."""

    api: ServiceApi
    measurer: Measurer
    spools: SpoolStore
    models: ModelCache
    settings: AgentSettings
    monotonic: Callable[[], float] = time.monotonic  # seconds


def run_lease(lease: Lease, target: Target, workplace: Workplace, stop: StopSignal) -> None:
    """Measure what `lease` asks for and deliver it; what is in its spool is not measured again.

    Raises:
        RefusedError: the server refuses the attempt; its results are set aside.
        AccessRevokedError: the device's token is not accepted any more.
        StoppedError: `stop` was set; the spool stays for the next start.
        OSError: the spool cannot be written.
    """
    spool = workplace.spools.open(lease, target.fingerprint)
    log.info("lease %s, attempt %d: %s", lease.lease_id, lease.attempt, lease.kind.value)
    try:
        refused = _Attempt(spool, target, workplace).run(stop)
    except LeaseCancelledError:
        log.info("lease %s: cancelled", lease.lease_id)
        spool.drop()
    except LeaseLostError as error:
        log.warning("lease %s: %s", lease.lease_id, error)
        if error.discard:
            spool.drop()
    except AccessRevokedError:
        raise
    except RefusedError as error:
        workplace.spools.set_aside(spool, str(error))
        raise
    else:
        if refused is None:
            spool.drop()
        else:
            workplace.spools.set_aside(spool, str(refused))


class _Attempt:
    """The run of one lease."""

    def __init__(self, spool: Spool, target: Target, workplace: Workplace) -> None:
        self._spool = spool
        self._lease = spool.header.lease
        self._target = target
        self._workplace = workplace
        self._pushed_at = workplace.monotonic()

    def run(self, stop: StopSignal) -> RefusedError | None:
        """Measure and deliver while the heartbeat keeps the lease; return what was refused."""
        place = self._workplace
        with stop.child() as over:
            delivery = Delivery(place.api, self._spool, place.settings, over, place.monotonic)
            with HeartbeatLoop(place.api, self._lease, self._progress, over) as heartbeat:
                try:
                    reason = self._measure(delivery, over)
                    outcome = Outcome.FAILED if reason else Outcome.DONE
                    delivery.complete(outcome, reason)
                except StoppedError as error:
                    raise (heartbeat.ended_by or error) from error
        log.info("lease %s: %s %s", self._lease.lease_id, outcome.value, reason)
        return delivery.refused

    def _progress(self) -> Heartbeat:
        operators, networks = wanted(self._lease)
        return Heartbeat(
            attempt=self._lease.attempt, done=self._spool.done, total=operators + networks
        )

    def _measure(self, delivery: Delivery, over: StopSignal) -> str:
        """Return why the measurement failed as a whole; empty where it did not."""
        try:
            if self._lease.kind is WorkKind.PROFILE and self._lease.profile is not None:
                return self._profile(self._lease.profile, delivery, over)
            if self._lease.kind is WorkKind.VERIFY and self._lease.verify is not None:
                return self._verify(self._lease.verify, over)
        except (StoppedError, AccessRevokedError):
            raise
        except Exception as error:
            # Whatever the profiler meets is a failed attempt with a reason, never a dead agent.
            log.exception("lease %s", self._lease.lease_id)
            return f"{type(error).__name__}: {error}"
        return f"the lease has no work of its kind, {self._lease.kind.value}"

    def _profile(self, work: ProfileWork, delivery: Delivery, over: StopSignal) -> str:
        def keep(measurement: Measurement) -> None:
            # Ctrl-C reaches the measuring child too: what it breaks off is no measurement.
            if measurement.error and over.wait(STOP_MAY_FOLLOW_S):
                return
            self._spool.add(replace(measurement, error=measurement.error[:MAX_ERROR]))
            if self._is_chunk_due():
                delivery.push()
                self._pushed_at = self._workplace.monotonic()
                log.info("%d of %d measured", self._spool.done, self._progress().total)

        def should_stop() -> bool:
            return over.is_set() or delivery.refused is not None

        left = remaining(work, self._spool)
        if left.operators or left.networks:
            self._workplace.measurer.profile(left, self._target, keep, should_stop)
        missing = self._progress().total - self._spool.done
        if missing and not should_stop():
            return f"the profiler left {missing} of {self._progress().total} unmeasured"
        return ""

    def _verify(self, work: VerifyWork, over: StopSignal) -> str:
        if bool(work.artifact_sha256) == (work.graph is not None):
            return "verify: exactly one of artifact and graph must be given"
        if work.name not in self._spool.network_errors:
            place = self._workplace
            model = None
            if work.artifact_sha256:
                model = place.models.fetch(work.artifact_sha256, place.settings.patience(over))
            measurement = place.measurer.verify(work, model, self._target, over.is_set)
            if over.is_set() or (measurement.error and over.wait(STOP_MAY_FOLLOW_S)):
                raise StoppedError("verify: stopped")  # it may be a part of a measurement
            error = measurement.error[:MAX_ERROR]
            self._spool.add(replace(measurement, name=work.name, error=error))
        return self._spool.network_errors[work.name]

    def _is_chunk_due(self) -> bool:
        settings = self._workplace.settings
        age_s = self._workplace.monotonic() - self._pushed_at
        return self._spool.pending >= settings.chunk_rows or age_s >= settings.chunk_seconds


def remaining(work: ProfileWork, spool: Spool) -> ProfileWork:
    """Return the part of `work` that `spool` does not hold, each thing once."""
    operators = {spec.key: spec for spec in work.operators}
    networks = {network.name: network for network in work.networks}
    return replace(
        work,
        operators=tuple(spec for key, spec in operators.items() if key not in spool.operator_keys),
        networks=tuple(
            network for name, network in networks.items() if name not in spool.network_errors
        ),
    )


def wanted(lease: Lease) -> tuple[int, int]:
    """Return how many different operators and networks `lease` asks for."""
    if lease.profile is None:
        return 0, 1
    keys = {spec.key for spec in lease.profile.operators}
    return len(keys), len({network.name for network in lease.profile.networks})
