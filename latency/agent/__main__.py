"""`edgewright-agent`: reads arguments, calls a function, tells a person what came of it."""

import argparse
import logging
import math
import os
import sys
from dataclasses import replace
from pathlib import Path

from latency.agent.agent import run_agent
from latency.agent.doctor import Finding, check_server, examine
from latency.agent.enrol import JoinRequest, join
from latency.agent.errors import AccessRevokedError, AgentError, StoppedError
from latency.agent.local_measurer import LocalMeasurer
from latency.agent.measure import measure_plan
from latency.agent.service_api import ServiceApi, checked_address, is_readable_on_the_way
from latency.agent.settings import ENROL_TOKEN_VARIABLE, AgentSettings, default_state_dir
from latency.agent.spool import Measurement
from latency.agent.state import find_identity, load_identity
from latency.agent.stop import StopSignal, stop_on_signals
from latency.exchange.profile_file import read_plan
from latency.profiler.batches import AGAIN

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
EXIT_REVOKED = 3  # restarting does not help: the device must join again

MAX_THREADS = 1_024
MAX_AGAIN = 100.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    # One line per request would drown the agent's own words.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
    try:
        return int(options.command(options))
    except StoppedError:
        return 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except AccessRevokedError as error:
        print(f"edgewright-agent: the server does not accept this token: {error}", file=sys.stderr)
        return EXIT_REVOKED
    except (AgentError, ValueError, OSError) as error:
        print(f"edgewright-agent: {error}", file=sys.stderr)
        return EXIT_ERROR


def _join(options: argparse.Namespace) -> int:
    request = JoinRequest(
        server=options.server,
        enrol_token=_enrol_token(options.token_file),
        state_dir=options.state_dir,
        name=options.name,
        threads=options.threads,
        affinity=options.affinity,
        replace=options.replace,
    )
    target = LocalMeasurer(options.threads, options.affinity).target()
    identity = join(request, target, AgentSettings(), StopSignal())
    if is_readable_on_the_way(identity.server):
        print("note: over http the token can be read on the way; use https between machines")
    print(f"joined {identity.server} as {identity.name!r}, device {identity.device_id}")
    return 0


def _enrol_token(path: Path | None) -> str:
    """Return the token: from a file, the environment, or standard input; never an argument."""
    if path is not None:
        return path.read_text().strip()
    if token := os.environ.get(ENROL_TOKEN_VARIABLE):
        return token.strip()
    if sys.stdin.isatty():
        print("enrolment token: ", end="", flush=True)
    return sys.stdin.readline().strip()


def _run(options: argparse.Namespace) -> int:
    identity = load_identity(options.state_dir)
    if options.server:
        identity = replace(identity, server=checked_address(options.server))
    settings = AgentSettings(again=options.again)
    run_agent(identity, options.state_dir, settings, _stop_of_this_process())
    return 0


def _measure(options: argparse.Namespace) -> int:
    work = read_plan(options.plan)
    measurer = LocalMeasurer(options.threads, options.affinity, options.again)
    profile = measure_plan(work, options.out, measurer, _stop_of_this_process())
    results: tuple[Measurement, ...] = (*profile.operators, *profile.networks)
    failed = [row for row in results if row.error]
    print(f"{len(results) - len(failed)} measured, {len(failed)} failed: {options.out}")
    for row in failed:
        print(f"  {row.error}")
    return EXIT_ERROR if failed else 0


def _doctor(options: argparse.Namespace) -> int:
    identity = find_identity(options.state_dir)
    measurer = LocalMeasurer(identity.threads, identity.affinity) if identity else LocalMeasurer(1)
    findings = examine(measurer.target(), measurer.conditions(), options.state_dir)
    if identity is not None:
        api = ServiceApi(identity.server, identity.token, AgentSettings())
        findings.append(check_server(identity.server, healthy=api.is_healthy()))
        api.close()
    for finding in findings:
        print(_line(finding))
    return 0 if all(finding.is_ok for finding in findings) else EXIT_ERROR


def _stop_of_this_process() -> StopSignal:
    stop = StopSignal()
    stop_on_signals(stop)
    return stop


def _line(finding: Finding) -> str:
    verdict = "ok " if finding.is_ok else "FIX"
    advice = "" if finding.is_ok else f" -> {finding.remedy}"
    return f"{verdict}  {finding.name:<13} {finding.value}{advice}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgewright-agent",
        description="Measures on this machine what a server of Edgewright asks for.",
    )
    parser.add_argument("--verbose", action="store_true", help="log every step")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("join", help="make this machine a device of a server")
    command.set_defaults(command=_join)
    command.add_argument("--server", required=True, help="address, such as https://host:8712")
    command.add_argument(
        "--token-file",
        type=Path,
        help=f"file with the enrolment token; else ${ENROL_TOKEN_VARIABLE}, else standard input",
    )
    command.add_argument("--name", default="", help="what people call it (default: host name)")
    command.add_argument("--replace", action="store_true", help="forget an earlier identity")
    _add_setting(command)
    _add_state_dir(command)

    command = commands.add_parser("run", help="work for the server until stopped")
    command.set_defaults(command=_run)
    command.add_argument("--server", default="", help="the server's new address, if it moved")
    _add_again(command)
    _add_state_dir(command)

    command = commands.add_parser("measure", help="measure a plan without a server")
    command.set_defaults(command=_measure)
    command.add_argument("plan", type=Path, help="file of `edgewright plan -o`")
    command.add_argument("-o", "--out", type=Path, required=True, help="profile file to write")
    _add_setting(command)
    _add_again(command)

    command = commands.add_parser("doctor", help="is this machine fit to measure?")
    command.set_defaults(command=_doctor)
    _add_state_dir(command)
    return parser


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


def _add_state_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state-dir", type=Path, default=default_state_dir(), help="default: %(default)s"
    )


if __name__ == "__main__":
    sys.exit(main())
