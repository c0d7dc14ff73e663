"""What is missing is said and skipped, what was made is kept, what is checked is really checked."""

import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from platforms import arm, wheels
from platforms.tools import ROOT, SkippedError, fetch, main, need, once


def test_what_is_missing_is_said_and_the_script_succeeds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def script() -> None:
        need("no-such-program", "it is needed")

    main(script, "make x")
    assert capsys.readouterr().out == (
        "SKIPPED: make x: no no-such-program on this machine (it is needed)\n"
    )


def test_a_failure_is_no_skip() -> None:
    def fail() -> None:
        subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)

    with pytest.raises(SystemExit, match="make x: failed with 3"):
        main(fail, "make x")


def test_what_cannot_be_fetched_is_skipped_with_the_last_words() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('the network is down')"]
    with pytest.raises(SkippedError, match="tools could not be fetched: the network is down"):
        fetch(command, "tools")


def test_a_folder_is_made_once_for_a_key_and_anew_after_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "folder"

    def make_half() -> None:
        with once(folder, "a") as is_new:
            assert is_new
            (folder / "rest").touch()
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        make_half()
    for key, expected in (("a", True), ("a", False), ("b", True)):
        with once(folder, key) as is_new:
            assert is_new is expected
            assert not (folder / "rest").exists()


def test_vector_multiply_adds_are_found(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    # fmla v28.4s, v15.4s, v0.s[0]; fmla v9.4s, v1.4s, v15.4s; fmla v2.2s, v3.2s, v4.2s; ret
    path.write_bytes(struct.pack("<4I", 0x4F8011FC, 0x4E2FCC29, 0x0E24CC62, 0xD65F03C0))
    assert arm.fused_multiply_adds(path) == 2


def test_a_wheel_without_the_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"edgewright-0.1.0-py3-none-{wheels.wheel_tag('aarch64')}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("latency/__init__.py", "")
    with pytest.raises(ValueError, match=r"libedgewright_kernels\.so is not in it"):
        wheels.check_wheel(path, "aarch64")
    with pytest.raises(ValueError, match="the tag must be"):
        wheels.check_wheel(path, "x86_64")


def test_sanitizers_that_are_missing_are_said() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "platforms.sanitize", "-c", "pass"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PATH": "/nowhere", "CXX": "no-such-compiler"},
    )
    assert answer.stdout.startswith("SKIPPED: sanitizers: no no-such-compiler")
