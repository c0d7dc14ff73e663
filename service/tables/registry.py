"""Every row class, so that the metadata is complete wherever this module is imported."""

from service.tables.artifact import ArtifactRow, JobArtifactRow
from service.tables.base import Row
from service.tables.dataset import DatasetRow
from service.tables.device import DeviceRow
from service.tables.job import JobDeviceRow, JobEventRow, JobRow
from service.tables.latency_table import LatencyTableMeasurementRow, LatencyTableRow
from service.tables.lease import ChunkRow, LeaseRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from service.tables.target import TargetRow
from service.tables.token import TokenRow
from service.tables.work_unit import WorkUnitRow
from service.tables.worker_lease import WorkerLeaseRow

ROW_CLASSES: tuple[type[Row], ...] = (
    ArtifactRow,
    ChunkRow,
    DatasetRow,
    DeviceRow,
    JobArtifactRow,
    JobDeviceRow,
    JobEventRow,
    JobRow,
    LatencyTableMeasurementRow,
    LatencyTableRow,
    LeaseRow,
    MeasurementRow,
    NetworkMeasurementRow,
    TargetRow,
    TokenRow,
    WorkUnitRow,
    WorkerLeaseRow,
)
metadata = Row.metadata
