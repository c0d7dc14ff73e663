"""The agent as a service of systemd: a unit that starts it at boot and lets it do little else."""

import pwd
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from latency.agent.errors import AgentError
from latency.agent.state import IDENTITY_FILE, load_identity
from latency.files import write_atomic
from latency.target import CPU

UNIT_DIR = Path("/etc/systemd/system")
ENVIRONMENT_FILE = "environment"  # in the state folder: proxies and the like, NAME=value
EXIT_REVOKED = 3  # of the agent: restarting does not help

_UNIT = """\
[Unit]
Description=Edgewright device agent {name}
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={command}
User={user}
EnvironmentFile=-{environment}
Restart=always
RestartSec=10
RestartPreventExitStatus={revoked}
KillMode=mixed
TimeoutStopSec=30
# A model that takes all memory ends its measuring child, and the agent says so.
OOMPolicy=continue
# Agents and trainings of one account leave the machine to whoever measures: the locks are here.
Environment=XDG_RUNTIME_DIR=/run/edgewright
RuntimeDirectory=edgewright
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077
# It reads its own files and the system, writes its state, and speaks to one server.
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={state}
PrivateTmp=yes
{devices}NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# MemoryDenyWriteExecute is missing: execution providers that compile need such memory.

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A unit: its file name and its text."""

    name: str
    text: str


def service_of(state_dir: Path) -> Service:
    """Return the unit that runs the agent with the state in `state_dir`, as the owner of that state.

    Raises:
        ValueError: this device has not joined with that folder, or root owns it.
    """
    state = state_dir.resolve()
    identity = load_identity(state)
    owner = pwd.getpwuid((state / IDENTITY_FILE).stat().st_uid)
    if owner.pw_uid == 0:
        raise ValueError(
            f"{state} belongs to root, and the agent needs no such rights: join as another user, "
            "such as `sudo -u USER edgewright-agent join ...`, and name its --state-dir here"
        )
    command = [sys.executable, "-m", "latency.agent", "run", "--state-dir", str(state)]
    is_on_the_processor = identity.provider == CPU
    text = _UNIT.format(
        name=_escaped(identity.name),
        command=" ".join(map(_quoted, command)),
        user=owner.pw_name,
        environment=_escaped(str(state / ENVIRONMENT_FILE)),
        revoked=EXIT_REVOKED,
        state=_quoted(str(state), is_command=False),
        devices="PrivateDevices=yes\n" if is_on_the_processor else "",
    )
    return Service(name=f"edgewright-agent-{_file_name(identity.name)}.service", text=text)


def install(service: Service, unit_dir: Path = UNIT_DIR) -> Path:
    """Write the unit, start it now and at every boot; returns its path.

    Raises:
        AgentError: the folder cannot be written, as without root; systemctl is missing or fails.
    """
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        raise AgentError("there is no systemctl here; --print shows the unit for another manager")
    path = unit_dir / service.name
    try:
        write_atomic(path, service.text.encode())
        path.chmod(0o644)  # as systemd expects of what holds no secret
    except PermissionError as error:
        raise AgentError(f"{unit_dir} can only be written by root: use sudo") from error
    for arguments in (["daemon-reload"], ["enable", "--now", service.name]):
        answer = subprocess.run(
            [systemctl, *arguments], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            said = answer.stderr.strip() or f"it ended with {answer.returncode}"
            raise AgentError(f"{path} was written, but systemctl {shlex.join(arguments)}: {said}")
    return path


def _escaped(text: str) -> str:
    """Return a text in which systemd replaces nothing."""
    return text.replace("%", "%%")


def _quoted(text: str, *, is_command: bool = True) -> str:
    """Return one word of a setting, or of a command line, where variables are replaced too."""
    text = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("$", "$$") if is_command else text}"'


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "-", name)
