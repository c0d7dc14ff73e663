"""Commands of those who run a server: serve, api, worker, migrate, token, demo."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.shared import DEFAULT_DENSITIES, EXIT_INTERRUPTED, Controls, Densities, fail

app = typer.Typer()
token_app = typer.Typer(help="Tokens for people and devices.", no_args_is_help=True)
app.add_typer(token_app, name="token")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Data folder [default: ./.edgewright].")
]


@app.command()
def serve(
    data_dir: DataDir = None,
    host: Annotated[str | None, typer.Option(help="Address [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port [default: 8712].")] = None,
) -> None:
    """Run the server: API and one worker, until Ctrl-C."""
    from service.cli.environment import server_environment
    from service.supervisor import CannotServeError, serve

    options = server_environment(data_dir, host, port)
    try:
        serve(options, lambda text: typer.echo(f"edgewright: {text}", err=True))
    except CannotServeError as error:
        fail(str(error))


@app.command()
def api() -> None:
    """Run one API process only; for installations of several machines."""
    from service.api_process import run_api
    from service.settings import Settings

    run_api(Settings())


@app.command()
def worker() -> None:
    """Run one worker process only; one per GPU, on any machine that reaches the database."""
    from service.settings import Settings
    from service.worker.__main__ import run_worker

    run_worker(Settings())


@app.command()
def migrate() -> None:
    """Bring the database up to date; makes the embedded server's token at the first time."""
    from service.cli.administration import migrate_database
    from service.settings import Settings

    for line in migrate_database(Settings()):
        typer.echo(line)


@token_app.command("create")
def token_create(
    kind: Annotated[str, typer.Option(help="admin, user or enrol.")] = "user",
    name: Annotated[str, typer.Option(help="Whose it is.")] = "",
) -> None:
    """Make a token; it is shown once."""
    from service.cli.administration import create_token_of_kind
    from service.settings import Settings

    try:
        token_id, token = create_token_of_kind(Settings(), kind, name)
    except ValueError as error:
        fail(str(error))
    typer.echo(token)
    typer.echo(f"id {token_id}; it is not shown again", err=True)


@token_app.command("list")
def token_list() -> None:
    """List all tokens with their ids; those of boards carry the board's name."""
    from service.cli.administration import token_lines
    from service.settings import Settings

    for line in token_lines(Settings()):
        typer.echo(line)


@token_app.command("revoke")
def token_revoke(token_id: Annotated[str, typer.Argument(help="Id of the token.")]) -> None:
    """Make a token invalid at once."""
    from service.cli.administration import revoke_token_by_id
    from service.errors import ServiceError
    from service.settings import Settings

    try:
        revoke_token_by_id(Settings(), token_id)
    except ServiceError as error:
        fail(str(error))
    typer.echo(f"revoked {token_id}")


@app.command()
def demo(
    data_dir: DataDir = None,
    budget_ms: Annotated[float | None, typer.Option(help="Latency of one image.")] = None,
    recipe: Annotated[str, typer.Option(help="tiny, quick or standard.")] = "quick",
    densities: Densities = DEFAULT_DENSITIES,
    controls: Controls = False,
    out: Annotated[Path, typer.Option(help="Where results go.")] = Path("edgewright-out"),
) -> None:
    """Do everything once on this machine: serve, enrol, profile, search, export, verify."""
    from service.cli.environment import data_folder
    from service.demo.demo import DemoOrder, run_demo
    from service.demo.processes import DemoError

    order = DemoOrder(
        data_dir=data_folder(data_dir),
        budget_ms=budget_ms,
        recipe=recipe,
        densities=densities,
        controls=controls,
        out=out.absolute(),
    )
    try:
        run_demo(order, typer.echo)
    except DemoError as error:
        fail(str(error))
    except KeyboardInterrupt:
        typer.echo(
            "\nstopped: all that the demo started has ended. The next run goes on from here.",
            err=True,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
