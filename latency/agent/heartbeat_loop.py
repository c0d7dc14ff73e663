"""The loop that keeps a lease alive while the measuring goes on in the main thread.

A beat that does not arrive stops nothing: the measuring goes on, the next beat comes sooner, and
the server decides what the results are worth when they arrive. Only the server's word ends a lease.
"""

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from latency.agent.errors import AgentError, LeaseCancelledError, RefusedError, UnreachableError
from latency.agent.retry import Patience, jittered
from latency.agent.service_api import ServiceApi
from latency.agent.stop import StopSignal
from latency.messages import Heartbeat, Lease

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 2.0  # the thread may be waiting for an answer; it is a daemon and may stay behind


class HeartbeatLoop:
    """A context: the beats go on inside of it. `over` is set when the server ends the lease."""

    def __init__(
        self, api: ServiceApi, lease: Lease, progress: Callable[[], Heartbeat], over: StopSignal
    ) -> None:
        """Send `progress()` each `lease.heartbeat_every_s` seconds, one try each."""
        self.ended_by: AgentError | None = None  # set before `over` is
        self._api = api
        self._lease = lease
        self._progress = progress
        self._over = over
        self._quit = StopSignal()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "HeartbeatLoop":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._quit.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        # A lease that was taken up again after a restart may be near its end.
        wait = min(self._lease.heartbeat_every_s, self._lease.expires_in_s / 3)
        while not self._quit.wait(wait) and self.ended_by is None:
            wait = self._beat()

    def _beat(self) -> float:
        """Send one beat; return the seconds until the next."""
        every_s = self._lease.heartbeat_every_s
        one_try = Patience(stop=self._quit, give_up_after_s=0.0, first_s=0.0, longest_s=0.0)
        try:
            answer = self._api.heartbeat(self._lease.lease_id, self._progress(), one_try)
        except UnreachableError as error:
            log.warning("heartbeat: %s", error)
            return jittered(every_s / 3)
        except RefusedError as error:
            self._end(error)
        except AgentError:
            log.debug("heartbeat: stopped")
        else:
            if answer.cancelled:
                self._end(LeaseCancelledError("the job was cancelled"))
        return every_s

    def _end(self, reason: AgentError) -> None:
        self.ended_by = reason
        self._over.set()
