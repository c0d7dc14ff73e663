"""Commands around data sets: list them, register one by its path on the server."""

from typing import Annotated

import typer

from service.cli.shared import client

app = typer.Typer()
datasets = typer.Typer(help="Data sets that searches may use.", no_args_is_help=True)
app.add_typer(datasets, name="datasets")


@datasets.command("list")
def datasets_list() -> None:
    """List the data sets."""
    with client() as api_client:
        for found in api_client.datasets():
            where = "built in" if found.built_in else found.path
            size = f"{found.image_channels}x{found.image_size}x{found.image_size}"
            typer.echo(f"{found.name:<20} {size:<12} {found.classes:>4} classes  {where}")


@datasets.command("add")
def datasets_add(
    name: Annotated[str, typer.Argument(help="Name that searches will use.")],
    path: Annotated[str, typer.Option(help="Folder or file on the server's disk.")],
    form: Annotated[
        str,
        typer.Option("--format", help="image-folder, cifar10-binary, cifar10-python or npz."),
    ] = "image-folder",
    image_size: Annotated[
        int | None, typer.Option(help="Resize to this many pixels a side; a multiple of 4.")
    ] = None,
) -> None:
    """Register a data set; it is read in place and never copied."""
    with client() as api_client:
        found = api_client.register_dataset(name, form, path, image_size)
        typer.echo(f"{found.name}: {found.classes} classes, {found.image_size} pixels")
