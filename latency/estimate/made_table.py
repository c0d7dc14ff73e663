"""A table from rows and whole networks: calibrated on some, judged on others."""

import math
from collections.abc import Sequence
from dataclasses import replace

from latency.estimate.calibrate import fit_calibration, published_error, widened
from latency.measurement import NetworkMeasurement
from latency.operator import Regime
from latency.table import Calibration, LatencyTable, TableRow
from latency.target import Target


def make_table(
    target: Target,
    version: int,
    rows: tuple[TableRow, ...],
    calibration: Sequence[NetworkMeasurement],
    held_out: Sequence[NetworkMeasurement],
) -> LatencyTable:
    """Return the table of a target.

    Args:
        target: that everything was measured on.
        version: of the table.
        rows: at least one.
        calibration: whole networks that the calibration is fitted on.
        held_out: others, for the published error; without them there is none.

    Raises:
        ValueError: no line fits whole networks and their operators.
    """
    regimes = [Regime.STOCK, Regime.LIBRARY] if target.has_library else [Regime.STOCK]
    fitted = [fit_calibration(rows, calibration, regime, target.facts) for regime in regimes]
    if not all(map(_is_usable, fitted)):
        raise ValueError("latency table: whole networks do not follow from their operators")
    table = LatencyTable(
        target=target,
        version=version,
        rows=rows,
        calibration=fitted[0],
        library=fitted[1] if target.has_library else None,
    )
    judged = replace(
        table, calibration=widened(table, held_out), error=published_error(table, held_out)
    )
    if not target.has_library:
        return judged
    return replace(
        judged,
        library=widened(table, held_out, Regime.LIBRARY),
        library_error=published_error(table, held_out, Regime.LIBRARY),
    )


def _is_usable(calibration: Calibration) -> bool:
    values = (calibration.slope, calibration.intercept_ns, calibration.sigma)
    return all(math.isfinite(value) for value in values) and calibration.slope > 0
