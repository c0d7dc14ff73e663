"""What the command line of the agent understands."""

import argparse
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from latency.agent.settings import ENROL_TOKEN_VARIABLE, default_state_dir
from latency.profiler.batches import AGAIN
from latency.target import CPU, RuntimeSetting

MAX_THREADS = 1_024
MAX_AGAIN = 100.0

Command = Callable[[argparse.Namespace], int]


def parser(commands_by_name: Mapping[str, Command]) -> argparse.ArgumentParser:
    """Return the parser of the command line; `command` of what it returns is the one asked for."""
    whole = argparse.ArgumentParser(
        prog="edgewright-agent",
        description="Measures on this machine what a server of Edgewright asks for.",
    )
    whole.add_argument("--verbose", action="store_true", help="log every step")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("join", help="make this machine a device of a server")
    command.set_defaults(command=commands_by_name["join"])
    command.add_argument("--server", required=True, help="address, such as https://host:8712")
    command.add_argument(
        "--token-file",
        type=Path,
        help=f"file with the enrolment token; else ${ENROL_TOKEN_VARIABLE}, else standard input",
    )
    command.add_argument("--name", default="", help="what people call it (default: host name)")
    command.add_argument(
        "--ca-file", type=Path, help="certificates of your own authority, beside the system's"
    )
    command.add_argument("--replace", action="store_true", help="forget an earlier identity")
    _add_setting(command)
    _add_state_dir(command)

    command = commands.add_parser("run", help="work for the server until stopped")
    command.set_defaults(command=commands_by_name["run"])
    command.add_argument("--server", default="", help="the server's new address, if it moved")
    _add_again(command)
    _add_state_dir(command)

    command = commands.add_parser("measure", help="measure a plan without a server")
    command.set_defaults(command=commands_by_name["measure"])
    command.add_argument("plan", type=Path, help="file of `edgewright plan -o`")
    command.add_argument("-o", "--out", type=Path, required=True, help="profile file to write")
    _add_setting(command)
    _add_again(command)

    command = commands.add_parser("doctor", help="is this machine fit to measure?")
    command.set_defaults(command=commands_by_name["doctor"])
    _add_state_dir(command)

    command = commands.add_parser("install-service", help="run at every boot, as a systemd unit")
    command.set_defaults(command=commands_by_name["install-service"])
    command.add_argument(
        "--print", action="store_true", dest="print_only", help="show the unit, change nothing"
    )
    _add_state_dir(command)
    return whole


def _add_setting(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--threads", type=_threads, default=1, help="of ONNX Runtime while measuring (default: 1)"
    )
    command.add_argument(
        "--affinity",
        type=_cores,
        default=(),
        metavar="CORES",
        help="cores to measure on, such as 0,1 (default: not pinned)",
    )
    command.add_argument(
        "--provider", default=CPU, help="execution provider of ONNX Runtime (default: %(default)s)"
    )
    command.add_argument(
        "--provider-option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the execution provider; may be given several times",
    )


def _add_again(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--again",
        type=_factor,
        default=AGAIN,
        metavar="FACTOR",
        help="operators measured while something else ran are tried again for so many times as long "
        "as the first tries took; with 0 nothing is (default: %(default)s)",
    )


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 <= factor <= MAX_AGAIN:
        raise argparse.ArgumentTypeError(f"must be from 0 to {MAX_AGAIN:g}")
    return factor


def _threads(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_THREADS:
        raise argparse.ArgumentTypeError(f"must be from 1 to {MAX_THREADS}")
    return int(text)


def _cores(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise argparse.ArgumentTypeError("must be numbers of cores, such as 0,1")
    return tuple(sorted(map(int, numbers)))


def _option(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name and found):
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


def _add_state_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state-dir", type=Path, default=default_state_dir(), help="default: %(default)s"
    )


def chosen_setting(options: argparse.Namespace) -> RuntimeSetting:
    """Return how `join` or `measure` were told to measure."""
    return RuntimeSetting(
        threads=options.threads,
        affinity=options.affinity,
        provider=options.provider,
        provider_options=tuple(sorted(dict(options.provider_option).items())),
    )
