"""What the commands share: options, the client, following a job, failing without a traceback."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from service.client import Client

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

Device = Annotated[str, typer.Option("--device", help="Id or name of the device.")]
DatasetName = Annotated[str, typer.Option("--dataset", help="Name of the data set.")]


def within(limits: tuple[int, int]) -> Callable[[int], int]:
    """Return a check of an option that says its whole range; typer's own says one end of it."""

    def check(value: int) -> int:
        lowest, highest = limits
        if not lowest <= value <= highest:
            raise typer.BadParameter(f"must be from {lowest} to {highest}, got {value}")
        return value

    return check


# Those of the service, which would be slow to import here; a test holds them together.
CHANNELS, CELLS, ROWS, HELD_OUT = (4, 1024), (3, 64), (50, 300), (1, 200)
Channels = Annotated[
    int,
    typer.Option(
        callback=within(CHANNELS),
        help="Channels of the first cell, or of the stem before the stages, 4 to 1024.",
    ),
]
Cells = Annotated[
    int,
    typer.Option(callback=within(CELLS), help="Cells of the network, 3 to 64; stages have none."),
]
SpaceName = Literal["dass-cells", "stages"]
DEFAULT_SPACE: SpaceName = "dass-cells"
Space = Annotated[SpaceName, typer.Option(help="Which networks.")]
Controls = Annotated[
    bool, typer.Option("--controls", help="Train and measure what it has to beat: 4 x the time.")
]
PatternName = Literal["unstructured", "block"]
DEFAULT_PATTERN: PatternName = "block"
Pattern = Annotated[PatternName, typer.Option(help="What becomes zero together.")]
DEFAULT_DENSITIES = "auto"
Densities = Annotated[
    str,
    typer.Option(
        help="planned: alike in all layers; budget: by layer, as the budget allows; auto: budget "
        "where the operator library is."
    ),
]
DistortionName = Literal["energy", "first-order", "second-order", "one-shot"]
MappingName = Literal["search", "rule", "uniform", "evolution"]
MaskRuleName = Literal["hard", "soft", "envelope", "admm"]
DEFAULT_HELD_OUT = 4
HeldOut = Annotated[
    int,
    typer.Option(
        callback=within(HELD_OUT), help="Networks of each regime that judge the table, 1 to 200."
    ),
]
DEFAULT_ROWS = 300
Rows = Annotated[
    int,
    typer.Option(
        callback=within(ROWS),
        help="Operators to measure for a space at most, 50 to 300: fewer predict worse.",
    ),
]
Wait = Annotated[bool, typer.Option(help="Wait for the end.")]


def fail(message: str) -> NoReturn:
    """Say what went wrong, without a traceback, and end."""
    typer.echo(f"edgewright: {message}", err=True)
    raise typer.Exit(EXIT_ERROR)


def is_said(context: typer.Context, name: str) -> bool:
    """Return whether an option is on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def client() -> Iterator["Client"]:
    """Give a client; what the service refuses becomes a line of text."""
    from service.client import Client

    with errors_as_text(), Client() as found:
        yield found


@contextmanager
def errors_as_text() -> Iterator[None]:
    """Turn what goes wrong for a reason that a user can mend into a line of text."""
    from service.client import ApiError

    try:
        yield
    except BrokenPipeError:  # as in `edgewright ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except (ApiError, ValueError) as error:
        fail(str(error))
    except OSError as error:  # its own text has a number that says nothing to people
        named = error.filename is not None and error.strerror is not None
        fail(f"{error.filename}: {error.strerror}" if named else str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


def follow(api_client: "Client", job_id: str, *, wait: bool, as_json: bool = False) -> None:
    """Print the job's id, and with `wait` everything until its end; fails where the job failed.

    With `as_json` standard output has what is known in the end, and nothing else: the certificate if
    there is one, or the job.
    """
    from service.client.event_text import event_line, result_lines
    from service.lifecycle import JobState

    typer.echo(job_id, err=as_json)
    if not wait:
        if as_json:
            typer.echo(api_client.job(job_id).model_dump_json(indent=2))
        return
    for event in api_client.events(job_id):
        if line := event_line(event):
            typer.echo(line, err=True)
    job = api_client.job(job_id)
    for line in result_lines(job):
        typer.echo(line, err=True)
    if as_json:
        certificate = (job.result or {}).get("certificate")
        text = json.dumps(certificate, indent=2) if certificate else job.model_dump_json(indent=2)
        typer.echo(text)
    if job.state != JobState.SUCCEEDED:
        fail(f"the job is {job.state}: {(job.error or {}).get('message', 'no reason given')}")
    sys.stdout.flush()
