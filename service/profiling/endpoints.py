"""/v1/plans, /v1/operators, /v1/tables, /v1/predictions."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from latency import codec
from latency.exchange.document import to_document
from latency.exchange.profile_file import PLAN
from latency.messages import ProfileWork
from latency.table import TableRow
from search.space.networks import read_genotype
from service.access.policy import Administrator, Operator
from service.context import Context
from service.datasets.use_cases import find_dataset
from service.devices.use_cases import find_device
from service.errors import invalid_field, public_message
from service.profiling import questions, use_cases, withdrawal
from service.profiling.planning import planned_networks, profiled_space
from service.profiling.schemas import (
    AffectedJobRead,
    OperatorRead,
    PlanCreate,
    PlanRead,
    PredictionCreate,
    PredictionRead,
    TableDetailRead,
    TableRead,
    WithdrawalRead,
    WithdrawnTableRead,
)
from service.profiling.withdrawal import Withdrawal
from service.shapes import Identifier, Limit, Offset, ShortName

router = APIRouter(prefix="/v1", tags=["profiling"])


@router.post("/plans")
def plan_profile(context: Context, _principal: Operator, order: PlanCreate) -> PlanRead:
    """Return what a device still has to measure for a space, and the minutes that it costs."""
    with context.database.reading() as session:
        device = find_device(session, order.device)
        space = profiled_space(order.model_dump(), find_dataset(session, order.dataset).task)
        found = questions.plan_profile(
            session, device, space, held_out=order.held_out, rows=order.rows
        )
    missing = [spec.label() for spec in found.plan.operators]
    return PlanRead(
        device_id=device.id,
        target_fingerprint=device.target_fingerprint,
        operators=found.rows.known + len(missing) + found.rows.covered,
        known=found.rows.known,
        missing=missing,
        covered=found.rows.covered,
        expected_error=found.rows.error_now,
        expected_error_after=found.rows.error_after,
        networks=found.plan.networks,
        minutes=found.plan.minutes,
    )


@router.post("/plans/file", response_class=Response)
def plan_file(context: Context, _principal: Operator, order: PlanCreate) -> Response:
    """Return the plan as the file that `edgewright-agent measure` reads, for a board offline."""
    with context.database.reading() as session:
        device = find_device(session, order.device)
        space = profiled_space(order.model_dump(), find_dataset(session, order.dataset).task)
        found = questions.plan_profile(
            session, device, space, held_out=order.held_out, rows=order.rows
        )
    work = ProfileWork(
        operators=found.plan.operators,
        networks=planned_networks(space, device.target, order.held_out),
    )
    return Response(to_document(work, PLAN), media_type="application/json")


@router.post("/predictions")
def predict_latency(
    context: Context, _principal: Operator, order: PredictionCreate
) -> PredictionRead:
    """Return the latency that the newest table of a device gives for a network."""
    try:
        genotype = read_genotype(order.genotype.model_dump(mode="json"))
    except ValueError as error:
        raise invalid_field("/genotype", public_message(error)) from error
    with context.database.reading() as session:
        device = find_device(session, order.device)
        task = find_dataset(session, order.dataset).task
        found = questions.predict_latency(session, device, genotype, task)
    return PredictionRead(table_id=found.table_id, **asdict(found.prediction))


@router.get("/operators")
def list_operators(
    context: Context,
    _principal: Operator,
    device: Annotated[ShortName, Query(description="id or name")],
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
    *,
    quarantined: Annotated[bool, Query(description="what the device measured in vain")] = False,
) -> list[OperatorRead]:
    """Return what is known of each operator on what a device is now, or what is in quarantine."""
    with context.database.reading() as session:
        owner = find_device(session, device)
        if quarantined:
            page = use_cases.quarantined_operators(session, owner.id, limit=limit, offset=offset)
            return [_operator(row, quarantine=reason) for row, reason in page]
        found = use_cases.measured_operators(session, owner.target_fingerprint)
    return [_operator(row) for row in found[offset : offset + limit]]


@router.post("/devices/{device}/withdrawal", tags=["devices"])
def withdraw_device(
    context: Context,
    _principal: Administrator,
    device: Annotated[ShortName, Path(description="id or name")],
) -> WithdrawalRead:
    """Use nothing any more that a device has measured; says which tables and jobs rested on it."""
    with context.database.transaction() as session:
        owner = find_device(session, device)
        return _withdrawal(withdrawal.withdraw_device(session, owner, context.clock()))


@router.get("/tables")
def list_tables(
    context: Context,
    _principal: Operator,
    device: Annotated[ShortName | None, Query(description="id or name")] = None,
    limit: Annotated[Limit, Query()] = 100,
    offset: Annotated[Offset, Query()] = 0,
) -> list[TableRead]:
    """Return the versions of tables, the newest first; of one device as it is now, or of all."""
    with context.database.reading() as session:
        fingerprint = None if device is None else find_device(session, device).target_fingerprint
        found = use_cases.list_tables(session, fingerprint, limit=limit, offset=offset)
        return [TableRead.model_validate(row) for row in found]


@router.get("/tables/{table_id}")
def get_table(context: Context, _principal: Operator, table_id: Identifier) -> TableDetailRead:
    """Return a version of a table with its rows."""
    with context.database.reading() as session:
        row = use_cases.get_table(session, table_id)
        table = use_cases.load_table(session, table_id)
    return TableDetailRead(
        **TableRead.model_validate(row).model_dump(),
        target=codec.to_plain(table.target),
        rows=[_operator(found) for found in table.rows],
    )


def _withdrawal(found: Withdrawal) -> WithdrawalRead:
    return WithdrawalRead(
        device_id=found.device.id,
        device=found.device.name,
        copies=list(found.copies),
        tables=[
            WithdrawnTableRead(
                id=affected.table.id,
                version=affected.table.version,
                target_fingerprint=affected.table.target_fingerprint,
                replacement_id=affected.replacement and affected.replacement.id,
                replacement_version=affected.replacement and affected.replacement.version,
            )
            for affected in found.tables
        ],
        jobs=[AffectedJobRead.model_validate(job) for job in found.jobs],
    )


def _operator(row: TableRow, *, quarantine: str = "") -> OperatorRead:
    return OperatorRead(
        key=row.spec.key,
        label=row.spec.label(),
        spec=row.spec,
        median_ns=row.median_ns,
        spread_ns=row.spread_ns,
        samples=row.samples,
        method=row.method,
        measured_at=row.measured_at,
        unstable=row.unstable,
        quarantine=quarantine,
    )
