"""/v1/devices: enrolment by agents, and the list for people."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from latency import codec
from latency.messages import Registered, Registration
from service.access.policy import Enroller, Operator
from service.context import AppContext, Context
from service.devices import use_cases
from service.devices.incoming import check_registration, decode_message
from service.devices.rules import LeaseRules
from service.devices.schemas import DeviceRead
from service.shapes import Identifier, Limit, Offset

router = APIRouter(prefix="/v1/devices", tags=["devices"])


async def raw_body(request: Request) -> bytes:
    """Return the body as it was sent; BodyLimit has received and bounded it already."""
    return await request.body()


RawBody = Annotated[bytes, Depends(raw_body)]


def json_answer(value: object, status: int = 200) -> Response:
    """Return a message of the agent protocol as the answer."""
    return Response(codec.encode(value), status, media_type="application/json")


@router.post("", status_code=201, response_model=Registered)
def register_device(context: Context, principal: Enroller, body: RawBody) -> Response:
    """Enrol a device with its single-use token; the answer holds its own token, once."""
    registration = decode_message(body, Registration)
    check_registration(registration)
    with context.database.transaction() as session:
        registered = use_cases.register_device(
            session, principal.token_id, registration, context.clock()
        )
    return json_answer(registered, 201)


@router.get("")
def list_devices(
    context: Context,
    _principal: Operator,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> list[DeviceRead]:
    """Return the devices by name."""
    with context.database.reading() as session:
        found = use_cases.list_devices(session, limit=limit, offset=offset)
        counts = use_cases.quarantine_counts(session, found)
    return [_read(context, device, counts) for device in found]


@router.get("/{device_id}")
def get_device(context: Context, _principal: Operator, device_id: Identifier) -> DeviceRead:
    """Return one device."""
    with context.database.reading() as session:
        found = use_cases.get_device(session, device_id)
        return _read(context, found, use_cases.quarantine_counts(session, [found]))


def _read(
    context: AppContext, device: use_cases.Device, quarantined: Mapping[str, int]
) -> DeviceRead:
    return DeviceRead(
        id=device.id,
        name=device.name,
        target=device.target,
        target_fingerprint=device.target_fingerprint,
        agent_version=device.agent_version,
        online=device.is_online(LeaseRules.of(context.settings), context.clock()),
        created_at=device.created_at,
        last_seen_at=device.last_seen_at,
        checks_passed=device.agreed,
        quarantined=quarantined.get(device.id, 0),
    )
