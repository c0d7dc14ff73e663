"""`edgewright-agent`: reads arguments, calls a function, tells a person what came of it."""

import argparse
import logging
import os
import sys
from dataclasses import replace
from pathlib import Path

from latency.agent.agent import run_agent
from latency.agent.arguments import chosen_setting, parser
from latency.agent.doctor import Finding, check_server, examine
from latency.agent.enrol import JoinRequest, join
from latency.agent.errors import AccessRevokedError, AgentError, StoppedError
from latency.agent.local_measurer import LocalMeasurer
from latency.agent.measure import measure_plan
from latency.agent.service_api import ServiceApi, checked_address, is_readable_on_the_way
from latency.agent.service_unit import EXIT_REVOKED, install, service_of
from latency.agent.settings import ENROL_TOKEN_VARIABLE, AgentSettings
from latency.agent.spool import Measurement
from latency.agent.state import find_identity, load_identity
from latency.agent.stop import StopSignal, stop_on_signals
from latency.exchange.profile_file import read_plan
from latency.target import RuntimeSetting

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser(_COMMANDS).parse_args(arguments)
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
        setting=chosen_setting(options),
        ca_file=str(options.ca_file.resolve()) if options.ca_file else "",
        replace=options.replace,
    )
    target = LocalMeasurer(request.setting).target()
    settings = AgentSettings(ca_file=request.ca_file)
    identity = join(request, target, settings, StopSignal())
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
    settings = AgentSettings(again=options.again, ca_file=identity.ca_file)
    run_agent(identity, options.state_dir, settings, _stop_of_this_process())
    return 0


def _measure(options: argparse.Namespace) -> int:
    work = read_plan(options.plan)
    measurer = LocalMeasurer(chosen_setting(options), options.again)
    profile = measure_plan(work, options.out, measurer, _stop_of_this_process())
    results: tuple[Measurement, ...] = (*profile.operators, *profile.networks)
    failed = [row for row in results if row.error]
    print(f"{len(results) - len(failed)} measured, {len(failed)} failed: {options.out}")
    for row in failed:
        print(f"  {row.error}")
    return EXIT_ERROR if failed else 0


def _doctor(options: argparse.Namespace) -> int:
    identity = find_identity(options.state_dir)
    measurer = LocalMeasurer(identity.setting if identity else RuntimeSetting())
    findings = examine(measurer.target(), measurer.conditions(), options.state_dir)
    if identity is not None:
        settings = AgentSettings(ca_file=identity.ca_file)
        api = ServiceApi(identity.server, identity.token, settings)
        findings.append(check_server(identity.server, healthy=api.is_healthy()))
        api.close()
    for finding in findings:
        print(_line(finding))
    return 0 if all(finding.is_ok for finding in findings) else EXIT_ERROR


def _install_service(options: argparse.Namespace) -> int:
    service = service_of(options.state_dir)
    if options.print_only:
        print(service.text, end="")
        return 0
    path = install(service)
    print(f"{path} runs now and at every boot; its log: journalctl -u {service.name}")
    return 0


def _stop_of_this_process() -> StopSignal:
    stop = StopSignal()
    stop_on_signals(stop)
    return stop


def _line(finding: Finding) -> str:
    verdict = "ok " if finding.is_ok else "FIX"
    advice = "" if finding.is_ok else f" -> {finding.remedy}"
    return f"{verdict}  {finding.name:<13} {finding.value}{advice}"


_COMMANDS = {
    "join": _join,
    "run": _run,
    "doctor": _doctor,
    "measure": _measure,
    "install-service": _install_service,
}

if __name__ == "__main__":
    sys.exit(main())
