"""Results on disk until the server has confirmed them; survives `kill -9` of the agent.

A folder per attempt, its name a digest, so that no text of the server becomes a path:

    header.json         the lease and the target
    chunk-000000.json   a chunk exactly as it is uploaded, never changed once written
    rows-000001.jsonl   the chunk that is being filled: conditions, then one measurement a line

A measurement is in the kernel's hands when `add` returns: the death of the process loses nothing.
Only `seal` waits for the disk, since doing so for each row would disturb what is being measured;
a power cut costs at most the rows of one unfinished chunk, which are measured again.
"""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from latency import codec
from latency.files import write_atomic
from latency.measurement import Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import Chunk, Lease

Measurement = OperatorMeasurement | NetworkMeasurement


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a spool belongs to."""

    lease: Lease
    target: str  # fingerprint: rows of two targets are never mixed


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a rows file: the first has the conditions, the others a measurement."""

    conditions: Conditions | None = None
    operator: OperatorMeasurement | None = None
    network: NetworkMeasurement | None = None


class Spool:
    """The results of one attempt, in order. One process, one thread."""

    def __init__(self, folder: Path, header: Header, conditions: Callable[[], Conditions]) -> None:
        """Open what `folder` holds, or begin. `conditions` is called before each new chunk.

        Raises:
            ValueError: the folder holds files that no agent wrote.
        """
        self.folder = folder
        self.header = header
        self.operator_keys: set[str] = set()  # of the operators that are measured
        self.network_errors: dict[str, str] = {}  # by network name; empty where it went well
        self._read_conditions = conditions
        chunks = _read_chunks(folder)
        self.chunk_count = len(chunks)  # of sealed chunks
        for chunk in chunks:
            self._note(chunk.operators + chunk.networks)
        self._conditions, self._rows = self._resume()
        self._note(tuple(self._rows))

    @property
    def pending(self) -> int:
        """Number of measurements that are in no chunk yet."""
        return len(self._rows)

    @property
    def done(self) -> int:
        """Number of measurements in all."""
        return len(self.operator_keys) + len(self.network_errors)

    def add(self, measurement: Measurement) -> None:
        """Append `measurement`."""
        if isinstance(measurement, OperatorMeasurement):
            self._append(Row(operator=measurement))
        else:
            self._append(Row(network=measurement))
        self._rows.append(measurement)
        self._note((measurement,))

    def seal(self) -> None:
        """Turn the pending measurements into a chunk, durable on return; nothing if none."""
        if self._rows:
            self.store(self._pending_chunk())

    def store(self, chunk: Chunk) -> None:
        """Append a whole chunk; what is pending must be in it."""
        rows_path = self._rows_path()
        write_atomic(self._chunk_path(self.chunk_count), codec.encode(chunk))
        rows_path.unlink(missing_ok=True)
        self.chunk_count += 1
        self._note(chunk.operators + chunk.networks)
        self._conditions, self._rows = self._begin(), []

    def body(self, index: int) -> bytes:
        """Return chunk `index` as it is uploaded."""
        return self._chunk_path(index).read_bytes()

    def digest(self, count: int) -> str:
        """Return the SHA-256 of the hex SHA-256 digests of the first `count` chunks, joined."""
        digests = (hashlib.sha256(self.body(index)).hexdigest() for index in range(count))
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def drop(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _note(self, measurements: tuple[Measurement, ...]) -> None:
        for measurement in measurements:
            if isinstance(measurement, OperatorMeasurement):
                self.operator_keys.add(measurement.spec.key)
            else:
                self.network_errors[measurement.name] = measurement.error

    def _pending_chunk(self) -> Chunk:
        return Chunk(
            attempt=self.header.lease.attempt,
            conditions=self._conditions,
            operators=tuple(row for row in self._rows if isinstance(row, OperatorMeasurement)),
            networks=tuple(row for row in self._rows if isinstance(row, NetworkMeasurement)),
            conditions_after=self._read_conditions(),
        )

    def _chunk_path(self, index: int) -> Path:
        return self.folder / f"chunk-{index:06d}.json"

    def _rows_path(self) -> Path:
        return self.folder / f"rows-{self.chunk_count:06d}.jsonl"

    def _append(self, row: Row) -> None:
        with self._rows_path().open("ab") as file:
            file.write(codec.encode(row) + b"\n")

    def _begin(self) -> Conditions:
        conditions = self._read_conditions()
        self._rows_path().unlink(missing_ok=True)
        self._append(Row(conditions=conditions))
        return conditions

    def _resume(self) -> tuple[Conditions, list[Measurement]]:
        """Read the rows of the unfinished chunk; a torn last line is cut off."""
        path = self._rows_path()
        rows, good = _read_rows(path)
        if not rows or rows[0].conditions is None:
            return self._begin(), []
        with path.open("r+b") as file:
            file.truncate(good)
        found = [row.operator or row.network for row in rows[1:]]
        return rows[0].conditions, [row for row in found if row is not None]


def _read_chunks(folder: Path) -> list[Chunk]:
    paths = sorted(folder.glob("chunk-*.json"))
    if [path.name for path in paths] != [f"chunk-{i:06d}.json" for i in range(len(paths))]:
        raise ValueError(f"{folder}: a chunk is missing")
    return [codec.decode(path.read_bytes(), Chunk) for path in paths]


def _read_rows(path: Path) -> tuple[list[Row], int]:
    """Return the whole rows and how many bytes they take; what a death tore is left out."""
    rows, good = [], 0
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], 0
    for line in data.splitlines(keepends=True):
        try:
            row = codec.decode(line, Row)
        except ValueError:
            break
        if not line.endswith(b"\n"):
            break
        rows.append(row)
        good += len(line)
    return rows, good
