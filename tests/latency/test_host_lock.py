import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from latency import host_lock
from latency.host_lock import lock_folder, measuring, training_step

Lock = Callable[[Path], AbstractContextManager[None]]
WAIT_S = 10.0  # for what must happen
SHORT_S = 0.2  # for what must not happen


class Holder:
    """Takes a lock in a thread and holds it until told to let go."""

    def __init__(self, lock: Lock, folder: Path) -> None:
        self.held = threading.Event()
        self.let_go = threading.Event()
        self._lock, self._folder = lock, folder
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()

    def _hold(self) -> None:
        with self._lock(self._folder):
            self.held.set()
            self.let_go.wait(WAIT_S)

    def release(self) -> None:
        self.let_go.set()
        self._thread.join(WAIT_S)


@pytest.fixture
def holders(tmp_path: Path) -> Iterator[Callable[[Lock], Holder]]:
    made: list[Holder] = []

    def hold(lock: Lock) -> Holder:
        made.append(Holder(lock, tmp_path))
        return made[-1]

    yield hold
    for holder in made:
        holder.release()


def test_a_measurement_waits_for_a_training_step(holders: Callable[[Lock], Holder]) -> None:
    step = holders(training_step)
    assert step.held.wait(WAIT_S)
    measurement = holders(measuring)
    assert not measurement.held.wait(SHORT_S)
    step.release()
    assert measurement.held.wait(WAIT_S)


def test_training_steps_and_measurements_wait_for_a_measurement(
    holders: Callable[[Lock], Holder],
) -> None:
    first = holders(measuring)
    assert first.held.wait(WAIT_S)
    others = [holders(training_step), holders(measuring)]
    assert not any(other.held.wait(SHORT_S) for other in others)
    first.release()
    for other in others:
        other.let_go.set()
    assert all(other.held.wait(WAIT_S) for other in others)


def test_training_steps_run_side_by_side(holders: Callable[[Lock], Holder]) -> None:
    steps = [holders(training_step), holders(training_step)]
    assert all(step.held.wait(WAIT_S) for step in steps)


def test_no_new_step_starts_before_a_waiting_measurement(
    holders: Callable[[Lock], Holder],
) -> None:
    running = holders(training_step)
    assert running.held.wait(WAIT_S)
    measurement = holders(measuring)
    assert not measurement.held.wait(SHORT_S)
    late = holders(training_step)
    assert not late.held.wait(SHORT_S)
    running.release()
    assert measurement.held.wait(WAIT_S)
    assert not late.held.wait(SHORT_S)
    measurement.release()
    assert late.held.wait(WAIT_S)


def test_a_killed_process_lets_go(tmp_path: Path, holders: Callable[[Lock], Holder]) -> None:
    code = """
        import sys, time
        from pathlib import Path
        from latency.host_lock import measuring
        with measuring(Path(sys.argv[1])):
            print("held", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(host_lock.__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        waiting = holders(training_step)
        assert not waiting.held.wait(SHORT_S)
        process.kill()
        process.wait(WAIT_S)
    assert waiting.held.wait(WAIT_S)


def test_an_error_inside_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), measuring(tmp_path):
        raise RuntimeError
    with training_step(tmp_path):
        pass


def test_the_folder_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with measuring():
        pass
    folder = lock_folder()
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_folder_that_is_a_link_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "edgewright").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link or belongs to user"):
        lock_folder()
