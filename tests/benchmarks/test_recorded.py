"""What the benchmarks of tables write, they and the product read."""

from pathlib import Path

import pytest

from benchmarks.recorded import row_of
from benchmarks.transfer_error import written_table
from latency.exchange.table_file import TableFile, write_table
from latency.profiler.conditions import read_conditions
from latency.profiler.device import current_target
from latency.table import LatencyTable
from tests.service.samples import conv, operator_result, target


def test_a_table_that_was_written_is_read_again(tmp_path: Path) -> None:
    row = row_of(operator_result(conv(4)), read_conditions().started_at)
    table = LatencyTable(target=current_target(), version=1, rows=(row,))
    write_table(tmp_path / "table.json", TableFile(table=table))
    assert written_table(tmp_path / "table.json") == table


def test_a_table_that_is_missing_or_of_another_target_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    with pytest.raises(SystemExit, match=r"table\.json.*table_error writes"):
        written_table(path)
    row = row_of(operator_result(conv(4)), read_conditions().started_at)
    write_table(path, TableFile(table=LatencyTable(target=target(), version=1, rows=(row,))))
    with pytest.raises(SystemExit, match="of another target"):
        written_table(path)
