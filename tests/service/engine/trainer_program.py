"""A trainer that only counts: one short epoch after the other, with checkpoint and fence."""

import json
import os
import sys
import threading
import time
from pathlib import Path

FENCED = 75


def main() -> None:
    """Arguments: folder, number of epochs, seconds of one epoch, fence in seconds."""
    folder, epochs, pause, fence = Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:5])
    threading.Thread(target=_watch, args=(fence,), daemon=True).start()
    checkpoint = folder / "checkpoint"
    start = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for epoch in range(start, epochs):
        _note(folder, f"begin {epoch}")
        time.sleep(pause)
        temporary = folder / f"checkpoint.{os.getpid()}"
        temporary.write_text(str(epoch + 1))
        temporary.replace(checkpoint)
        _note(folder, f"end {epoch}")
        report = {"stage": "count", "epoch": epoch + 1, "epochs": epochs}
        sys.stdout.write(json.dumps(report) + "\n")
        sys.stdout.flush()
    (folder / "result.json").write_text("{}")


def _note(folder: Path, text: str) -> None:
    with (folder / "epochs.log").open("a") as log:
        log.write(f"{time.monotonic_ns()} {os.getpid()} {text}\n")


def _watch(fence_s: float) -> None:
    fed_at = time.monotonic()

    def starve() -> None:
        while time.monotonic() - fed_at < fence_s:
            time.sleep(0.02)
        os._exit(FENCED)

    threading.Thread(target=starve, daemon=True).start()
    while os.read(0, 64):
        fed_at = time.monotonic()
    os._exit(FENCED)


if __name__ == "__main__":
    main()
