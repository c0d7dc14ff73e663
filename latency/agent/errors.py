"""What can go wrong between the agent and the service, by what the agent does about it.

AgentError
|- UnreachableError       no usable answer; the same request may be sent again later
|- StoppedError           the agent was asked to stop while it waited
|- LeaseCancelledError    the service wants no results of this lease: drop them
`- RefusedError           the service said no; the same request would be refused again
   |- AccessRevokedError  the token is not accepted: the agent ends
   `- LeaseLostError      the lease is not ours any more: go on with other work
"""


class AgentError(Exception):
    """Base of everything that the agent expects to happen."""


class UnreachableError(AgentError):
    """No usable answer came: connection, overload, or a page that some proxy made."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoppedError(AgentError):
    """The agent was asked to stop; the spool stays on disk for the next start."""


class LeaseCancelledError(AgentError):
    """The job behind the lease was cancelled."""


class RefusedError(AgentError):
    """The service understood the request and will not fulfil it."""

    def __init__(self, *, status: int, code: str, detail: str, discard: bool = False) -> None:
        super().__init__(f"{detail or 'refused'} ({status} {code})")
        self.status = status
        self.code = code
        self.detail = detail
        self.discard = discard


class AccessRevokedError(RefusedError):
    """The token is unknown, revoked or of the wrong kind."""


class LeaseLostError(RefusedError):
    """The lease expired or another attempt replaced it. `discard`: the results are not wanted."""
