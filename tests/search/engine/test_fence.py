"""A trainer that nobody vouches for leaves; one that is fed stays."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from search.engine.fence import FENCED_EXIT, start_fence
from search.engine.progress import JsonLines


def test_closed_feed_is_noticed_at_once() -> None:
    reader, writer = os.pipe()
    lost = threading.Event()
    start_fence(reader, 60.0, lost.set)
    os.write(writer, b"\n")
    assert not lost.wait(0.2)
    os.close(writer)
    assert lost.wait(10)
    os.close(reader)


def test_silent_feed_is_noticed_after_its_time() -> None:
    reader, writer = os.pipe()
    lost = threading.Event()
    start_fence(reader, 0.5, lost.set)
    for _ in range(5):
        os.write(writer, b"\n")
        assert not lost.wait(0.15), "a feed that is alive"
    assert lost.wait(10)
    os.close(reader)
    os.close(writer)


def test_seconds_must_be_positive() -> None:
    with pytest.raises(ValueError, match="seconds must be above 0"):
        start_fence(0, 0.0)


def child(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_process_leaves_with_the_agreed_status() -> None:
    process = child(
        "import sys, time\n"
        "from search.engine.fence import start_fence\n"
        "start_fence(sys.stdin.fileno(), 60.0)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)\n"
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "up\n"
        process.stdin.close()
        assert process.wait(20) == FENCED_EXIT


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part exists on Linux only")
def test_process_dies_with_its_parent() -> None:
    inner = (
        "import time; from search.engine.fence import die_with_parent;"
        "die_with_parent(); print('up', flush=True); time.sleep(60)"
    )
    parent = child(
        "import subprocess, sys, time\n"
        f"p = subprocess.Popen([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait(20)
        for _ in range(200):
            if not is_running(pid):
                return
            time.sleep(0.05)
    pytest.fail("the child outlived its parent")


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] not in ("Z", "X")


def test_progress_is_one_line_per_event() -> None:
    stream = io.StringIO()
    progress = JsonLines(stream, "search")
    progress.report({"epoch": 1, "train_loss": 0.5})
    progress.report({"finished": True})
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"stage": "search", "epoch": 1, "train_loss": 0.5},
        {"stage": "search", "finished": True},
    ]
