"""Lists as aligned text."""

from collections.abc import Iterator, Sequence

from latency.table import PublishedError
from service.devices.schemas import DeviceRead
from service.jobs.schemas import JobRead
from service.profiling.schemas import TableRead


def device_lines(devices: Sequence[DeviceRead]) -> Iterator[str]:
    """Yield a line for each device."""
    if not devices:
        yield "no devices; enrol one with `edgewright-agent join`"
    for device in devices:
        state = "online" if device.online else "offline"
        yield f"{device.id}  {state:7}  {device.name}  {device.target.label()}"


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
            f"{'; '.join(regimes)}"
        )


def _judged(error: PublishedError | None) -> str:
    return "not judged on held-out networks" if error is None else error.label()


def job_lines(jobs: Sequence[JobRead]) -> Iterator[str]:
    """Yield a line for each job."""
    if not jobs:
        yield "no jobs"
    for job in jobs:
        yield f"{job.id}  {job.state:9}  {job.kind:7}  {job.created_at:%Y-%m-%d %H:%M}  {job.name}"
