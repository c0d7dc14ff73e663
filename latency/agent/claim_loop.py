"""The agent's main loop: ask for work with jitter, do it, ask again; until it shall stop."""

import logging
import uuid

from latency.agent.errors import AccessRevokedError, RefusedError, StoppedError
from latency.agent.job_runner import Workplace, run_lease
from latency.agent.retry import jittered
from latency.agent.stop import StopSignal
from latency.messages import Claim, Lease
from latency.target import Target

log = logging.getLogger(__name__)

PAUSE_AFTER_TROUBLE_S = 30.0  # a refusal or a full disk does not go away by asking fast
LEASE_IS_OVER = 1.1  # times its length
SHORTEST_POLL_S = 0.2
LONGEST_POLL_S = 300.0


def claim_work(workplace: Workplace, stop: StopSignal) -> None:
    """Run until `stop` is set.

    Raises:
        AccessRevokedError: the device's token is not accepted any more.
    """
    try:
        while not stop.is_set():
            stop.wait(_claim_once(workplace, stop))
    except StoppedError:
        log.debug("stopped inside of a lease")
    log.info("stopped")


def _claim_once(workplace: Workplace, stop: StopSignal) -> float:
    """Claim, and work if there is a lease; return how many seconds to wait before the next."""
    target = workplace.measurer.target()
    claim = Claim(claim_id=str(uuid.uuid4()), target=target)
    try:
        answer = workplace.api.claim(claim, workplace.settings.patience(stop))
    except AccessRevokedError:
        raise
    except RefusedError as error:
        log.error("claim: %s", error)  # noqa: TRY400  the server's sentence says it all
        return jittered(PAUSE_AFTER_TROUBLE_S)
    if answer.lease is None:
        return jittered(min(max(answer.poll_again_in_s, SHORTEST_POLL_S), LONGEST_POLL_S))
    return _work(answer.lease, target, workplace, stop)


def _work(lease: Lease, target: Target, workplace: Workplace, stop: StopSignal) -> float:
    try:
        run_lease(lease, target, workplace, stop)
    except AccessRevokedError:
        raise
    except RefusedError as error:
        log.error("lease %s: %s; the results are set aside", lease.lease_id, error)  # noqa: TRY400
        # Asked at once, the server would give the same lease again, for ever. So it runs out,
        # counts as a failed attempt, and after a few of these the unit is given up.
        return max(lease.expires_in_s * LEASE_IS_OVER, PAUSE_AFTER_TROUBLE_S)
    except OSError:
        log.exception("lease %s: the results cannot be kept", lease.lease_id)
        return jittered(PAUSE_AFTER_TROUBLE_S)
    return 0.0
