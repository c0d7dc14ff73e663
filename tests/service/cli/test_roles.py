import subprocess
import sys

BLOCKED = """
import sys
sys.modules["typer"] = None  # as where only another role is installed
from service.__main__ import main
main()
"""


def test_command_line_without_its_libraries_names_the_role() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install '.[client]'" in done.stderr
    assert "Traceback" not in done.stderr
