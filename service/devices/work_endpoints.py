"""/v1/work: what agents call. The protocol is described in latency.messages."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from latency.messages import (
    Chunk,
    Claim,
    ClaimAnswer,
    Finish,
    FinishAnswer,
    Heartbeat,
    HeartbeatAnswer,
)
from service.access.policy import Agent
from service.access.use_cases import Principal
from service.context import AppContext, Context
from service.devices import incoming, leasing, uploads
from service.devices.endpoints import RawBody, json_answer
from service.devices.evidence import evidence_for
from service.devices.leasing import Desk
from service.devices.rules import LeaseRules
from service.errors import UnauthenticatedError
from service.shapes import Identifier

router = APIRouter(prefix="/v1/work", tags=["work"])

ChunkIndex = Annotated[int, Path(ge=0, lt=incoming.MAX_CHUNKS)]


@router.post("/claim", response_model=ClaimAnswer)
def claim_work(context: Context, principal: Agent, body: RawBody) -> Response:
    """Return the device's unfinished lease, its next one, or none."""
    claim = incoming.decode_message(body, Claim)
    incoming.check_claim(claim)
    desk, device_id = _desk(context), _device_id(principal)
    with context.database.reading() as session:
        idle = leasing.has_nothing_new(session, device_id, claim, desk)
    if idle:
        return json_answer(ClaimAnswer(lease=None, poll_again_in_s=desk.rules.poll_s))
    with context.database.transaction() as session:
        answer = leasing.claim_work(session, device_id, claim, desk)
    return json_answer(answer)


@router.post("/leases/{lease_id}/heartbeat", response_model=HeartbeatAnswer)
def renew_lease(
    context: Context, principal: Agent, lease_id: Identifier, body: RawBody
) -> Response:
    """Keep a lease, and learn whether to go on."""
    beat = incoming.decode_message(body, Heartbeat)
    incoming.check_heartbeat(beat)
    with context.database.transaction() as session:
        answer = leasing.renew_lease(session, _device_id(principal), lease_id, beat, _desk(context))
    return json_answer(answer)


@router.put("/leases/{lease_id}/chunks/{index}", status_code=204)
def store_chunk(
    context: Context,
    principal: Agent,
    lease_id: Identifier,
    index: ChunkIndex,
    body: RawBody,
    content_digest: Annotated[str | None, Header()] = None,
) -> Response:
    """Store part of the results of a lease."""
    sha256 = incoming.check_digest(content_digest, body)
    chunk = incoming.decode_message(body, Chunk)
    incoming.check_chunk(chunk)
    desk, device_id = _desk(context), _device_id(principal)
    with context.database.reading() as session:
        evidence = evidence_for(session, device_id, lease_id, desk.now)
    upload = uploads.Upload.of(index, sha256, chunk, evidence)
    with context.database.transaction() as session:
        uploads.store_chunk(session, device_id, lease_id, upload, desk)
    return Response(status_code=204)


@router.post("/leases/{lease_id}/finish", response_model=FinishAnswer)
def finish_lease(
    context: Context, principal: Agent, lease_id: Identifier, body: RawBody
) -> Response:
    """End an attempt."""
    finish = incoming.decode_message(body, Finish)
    incoming.check_finish(finish)
    with context.database.transaction() as session:
        answer = uploads.finish_lease(
            session, _device_id(principal), lease_id, finish, _desk(context)
        )
    return json_answer(answer)


def _desk(context: AppContext) -> Desk:
    return Desk(
        rules=LeaseRules.of(context.settings), listener=context.listener, now=context.clock()
    )


def _device_id(principal: Principal) -> str:
    if principal.device_id is None:
        raise UnauthenticatedError("This token belongs to no device.")
    return principal.device_id
