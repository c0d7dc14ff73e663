"""Bringing one spool to the server: now and then while measuring, and to the end afterwards."""

import logging
from collections.abc import Callable

from latency.agent.errors import (
    AccessRevokedError,
    LeaseLostError,
    RefusedError,
    StoppedError,
    UnreachableError,
)
from latency.agent.retry import Patience
from latency.agent.service_api import ServiceApi
from latency.agent.settings import AgentSettings
from latency.agent.spool import Spool
from latency.agent.stop import StopSignal
from latency.messages import Finish, Outcome

log = logging.getLogger(__name__)

FINAL = (AccessRevokedError, LeaseLostError)  # nothing more can be said about this attempt
MAX_REASON = 500  # characters


class Delivery:
    """Uploads chunks strictly in order. `refused` is the answer that ended it, if any."""

    def __init__(
        self,
        api: ServiceApi,
        spool: Spool,
        settings: AgentSettings,
        over: StopSignal,
        monotonic: Callable[[], float],
    ) -> None:
        """Deliver `spool` until `over`. `monotonic` gives seconds."""
        self._settings = settings
        self.refused: RefusedError | None = None
        self._api = api
        self._spool = spool
        self._lease = spool.header.lease
        self._over = over
        self._monotonic = monotonic
        self._sent = 0
        self._pause_until = -float("inf")

    def push(self) -> None:
        """Seal what is pending; upload with one try each, not again soon after a failure.

        The server's answer does not interrupt the measuring: a refusal is kept in `refused`.
        """
        self._spool.seal()
        if self.refused is not None or self._monotonic() < self._pause_until:
            return
        try:
            self._upload(self._settings.patience(self._over, 0.0))
        except UnreachableError as error:
            log.warning("upload: %s; measuring goes on", error)
            self._pause_until = self._monotonic() + self._settings.upload_pause_s
        except RefusedError as error:
            self.refused = error
        except StoppedError:
            log.debug("upload: stopped")

    def complete(self, outcome: Outcome, reason: str) -> None:
        """Upload everything and end the attempt; on return the server holds it all.

        Where the server refuses to finish or answers with another digest, everything is uploaded
        once more: it may have been restored from a backup that lacks chunks.

        Raises:
            RefusedError: the server refuses the attempt, or the lease is lost.
            StoppedError: `over` was set.
        """
        self._spool.seal()
        try:
            confirmed = self._finish(outcome, reason)
        except FINAL:
            raise
        except RefusedError as error:
            log.warning("finish: %s", error)
            confirmed = False
        if confirmed:
            return
        log.warning("finish: not confirmed; uploading everything again")
        self._sent = 0
        if not self._finish(outcome, reason):
            detail = "the server confirms another digest than that of the chunks"
            raise RefusedError(status=200, code="digest-mismatch", detail=detail)

    def _finish(self, outcome: Outcome, reason: str) -> bool:
        """Return whether the server confirmed the digest. A refused chunk fails the attempt."""
        patience = self._settings.patience(self._over)
        if self.refused is None:
            try:
                self._upload(patience)
            except RefusedError as error:
                self.refused = error
        if isinstance(self.refused, FINAL):
            raise self.refused
        if self.refused is not None:
            outcome, reason = Outcome.FAILED, f"chunk {self._sent} was refused: {self.refused}"
        finish = Finish(
            attempt=self._lease.attempt,
            outcome=outcome,
            chunks=self._sent,
            digest=self._spool.digest(self._sent),
            reason=reason[:MAX_REASON],
        )
        answer = self._api.finish(self._lease.lease_id, finish, patience)
        return answer.digest == finish.digest

    def _upload(self, patience: Patience) -> None:
        while self._sent < self._spool.chunk_count:
            body = self._spool.body(self._sent)
            self._api.put_chunk(self._lease.lease_id, self._sent, body, patience)
            self._sent += 1
