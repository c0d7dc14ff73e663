"""The declared policy of a route. A route without one does not start: see app.check_policies."""

from typing import Annotated

from fastapi import Depends, Request

from service.access.tokens import TokenKind
from service.access.use_cases import Principal, authenticate
from service.context import Context
from service.errors import UnauthenticatedError, WrongScopeError


class Policy:
    """Dependency: the caller has a valid token of one of these kinds."""

    def __init__(self, *kinds: TokenKind) -> None:
        self.kinds = frozenset(kinds)

    def __call__(self, request: Request, context: Context) -> Principal:
        """Return who is calling, or refuse."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("Send a token: `Authorization: Bearer <token>`.")
        with context.database.reading() as session:
            principal = authenticate(session, token.strip(), context.clock())
        if principal.kind not in self.kinds:
            allowed = ", ".join(sorted(self.kinds))
            raise WrongScopeError(
                f"A token of kind {principal.kind.value} may not do this; allowed: {allowed}."
            )
        return principal


def requires(*kinds: TokenKind) -> Policy:
    """Return the policy of a route: which kinds of token may use it."""
    return Policy(*kinds)


Operator = Annotated[Principal, Depends(requires(TokenKind.ADMIN, TokenKind.USER))]
Administrator = Annotated[Principal, Depends(requires(TokenKind.ADMIN))]
Agent = Annotated[Principal, Depends(requires(TokenKind.AGENT))]
Enroller = Annotated[Principal, Depends(requires(TokenKind.ENROL))]
AnyReader = Annotated[
    Principal, Depends(requires(TokenKind.ADMIN, TokenKind.USER, TokenKind.AGENT))
]
