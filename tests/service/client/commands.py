"""The command line in this process."""

from pathlib import Path

from typer.testing import CliRunner

from service.cli.app import app


class Run:
    """Runs a command; both of its outputs, or standard output alone."""

    def __call__(self, *words: str | Path, status: int = 0, stdout_only: bool = False) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == status, done.output
        assert "Traceback" not in done.output
        return done.stdout if stdout_only else done.output
