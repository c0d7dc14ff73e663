"""/v1/profiles/import and /v1/tables/import: for administrators, since all searches rely on it."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Query

from latency.exchange.profile_file import profile_of_document
from latency.exchange.table_file import table_of_document
from latency.table import TableRow
from service.access.policy import Administrator
from service.context import AppContext, Context
from service.devices.endpoints import RawBody
from service.devices.imported import import_desk
from service.devices.rules import LeaseRules
from service.errors import InvalidValueError, public_message
from service.jobs import imports
from service.jobs.imports import CheckedPart
from service.jobs.schemas import ImportRead
from service.shapes import ShortName

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/profiles/import", status_code=201)
def import_profile(
    context: Context,
    _principal: Administrator,
    device: Annotated[ShortName, Query(description="id or name; a new name makes a device")],
    body: RawBody,
) -> ImportRead:
    """Take in what `edgewright-agent measure` wrote on a board without a connection."""
    try:
        profile = profile_of_document(body)
    except ValueError as error:
        raise _unreadable(error) from error
    return _store(context, imports.check_profile_file(profile, device), body, ())


@router.post("/tables/import", status_code=201)
def import_table(context: Context, _principal: Administrator, body: RawBody) -> ImportRead:
    """Take in the raw samples of an exported table; its devices are marked as imported."""
    try:
        file = table_of_document(body)
    except ValueError as error:
        raise _unreadable(error) from error
    return _store(context, imports.check_table_file(file), body, file.table.rows)


def _store(
    context: AppContext, parts: list[CheckedPart], body: bytes, expected: tuple[TableRow, ...]
) -> ImportRead:
    sha256 = hashlib.sha256(body).hexdigest()
    desk = import_desk(LeaseRules.of(context.settings), context.clock())
    with context.database.transaction() as session:
        return imports.import_parts(session, parts, sha256, expected, desk)


def _unreadable(error: ValueError) -> InvalidValueError:
    return InvalidValueError(f"The file was refused: {public_message(error)}.", code="file-refused")
