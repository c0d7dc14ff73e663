"""The command line. Heavy parts are imported by the command that needs them: --help is fast."""

import typer

from service.cli import (
    dataset_commands,
    device_commands,
    job_commands,
    server_commands,
    table_commands,
)

app = typer.Typer(
    name="edgewright",
    help="Searches neural networks that are sparse and fast on a given edge board.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for commands in (
    server_commands.app,
    device_commands.app,
    dataset_commands.app,
    job_commands.app,
    table_commands.app,
):
    app.add_typer(commands)
