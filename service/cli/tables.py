"""Lists as aligned text."""

from collections.abc import Iterator, Sequence

from latency.table import PublishedError
from service.devices.schemas import DeviceRead
from service.jobs.schemas import ImportRead, JobRead
from service.profiling.schemas import OperatorRead, TableRead, WithdrawalRead

_LISTED = 10  # measurements in quarantine that an import names


def device_lines(devices: Sequence[DeviceRead]) -> Iterator[str]:
    """Yield a line for each device."""
    if not devices:
        yield "no devices; enrol one with `edgewright-agent join`"
    for device in devices:
        state = "online" if device.online else "offline"
        line = f"{device.id}  {state:7}  {device.name}  {device.target.label()}"
        line += f"  {device.checks_passed} checks passed"
        yield f"{line}  ({device.quarantined} in quarantine)" if device.quarantined else line


def quarantine_lines(rows: Sequence[OperatorRead]) -> Iterator[str]:
    """Yield a line for each measurement in quarantine."""
    if not rows:
        yield "nothing in quarantine"
    for row in rows:
        yield f"{row.measured_at}  {row.label}  {row.median_ns:.0f} ns: {row.quarantine}"


def withdrawal_lines(found: WithdrawalRead) -> Iterator[str]:
    """Yield what rested on a withdrawn device."""
    yield f"no table uses what {found.device} has measured until now"
    if found.copies:
        yield f"files had brought the same samples as {', '.join(found.copies)}: not used either"
    for table in found.tables:
        instead = "too little remains for a new one"
        if table.replacement_id is not None:
            instead = f"use version {table.replacement_version}, {table.replacement_id}"
        yield f"table {table.id}  version {table.version}  withdrawn: {instead}"
    for job in found.jobs:
        yield f"job {job.id}  {job.state:9}  {job.kind:8}  {job.name}  used table {job.table_id}"


def intake_lines(found: ImportRead) -> Iterator[str]:
    """Yield how much of an imported file was taken, and what went into quarantine and why."""
    yield (
        f"{found.operators_taken} of {found.operators} operators and {found.networks_taken} of "
        f"{found.networks} networks taken: job {found.job_id}"
    )
    yield f"of {', '.join(found.devices)}"
    if not found.quarantined:
        return
    yield f"{found.quarantined} in quarantine, in no table:"
    shown = found.reasons[:_LISTED]
    yield from (f"  {one.what}, of {one.device}: {one.reason}" for one in shown)
    if found.quarantined > len(shown):
        others = found.quarantined - len(shown)
        yield f'  and {others} more: `edgewright devices quarantined "{shown[0].device}"`'


def table_lines(tables: Sequence[TableRead]) -> Iterator[str]:
    """Yield a line for each version of a table."""
    if not tables:
        yield "no tables; make one with `edgewright profile`"
    for table in tables:
        regimes = [f"stock: {_judged(table.error)}"]
        if table.library_calibration is not None:
            regimes.append(f"operator library: {_judged(table.library_error)}")
        yield (
            f"{table.id}  version {table.version}  {table.operators} operators  "
            f"{'; '.join(regimes)}{'' if table.withdrawn_at is None else '  withdrawn'}"
        )


def _judged(error: PublishedError | None) -> str:
    return "not judged on held-out networks" if error is None else error.label()


def job_lines(jobs: Sequence[JobRead]) -> Iterator[str]:
    """Yield a line for each job."""
    if not jobs:
        yield "no jobs"
    for job in jobs:
        yield f"{job.id}  {job.state:9}  {job.kind:8}  {job.created_at:%Y-%m-%d %H:%M}  {job.name}"
