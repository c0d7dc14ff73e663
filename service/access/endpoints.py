"""POST /v1/enrolments: a token for one new device."""

from fastapi import APIRouter

from service.access.policy import Operator
from service.access.schemas import EnrolmentRead
from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.context import Context

router = APIRouter(prefix="/v1/enrolments", tags=["devices"])


@router.post("", status_code=201)
def create_enrolment(context: Context, principal: Operator) -> EnrolmentRead:
    """Make a single-use token with which one device can enrol."""
    with context.database.transaction() as session:
        issued = create_token(
            session,
            TokenKind.ENROL,
            name=f"made by {principal.name}"[:200],
            now=context.clock(),
            lifetime_s=context.settings.enrolment_seconds,
        )
    return EnrolmentRead.model_validate(issued)
