"""Measurements as they are stored, read back as values."""

from latency import codec
from latency.measurement import ChainSamples
from latency.operator import OperatorSpec
from latency.rows import RawMeasurement
from service.tables.measurement import MeasurementRow


def raw_measurement(row: MeasurementRow) -> RawMeasurement:
    """Return the samples of a stored operator; the row must be one of a measurement that succeeded."""
    return RawMeasurement(
        spec=codec.decode(row.spec, OperatorSpec),
        samples=codec.decode(row.samples or "", ChainSamples),
        measured_at=row.measured_at,
        unstable=row.unstable,
    )
