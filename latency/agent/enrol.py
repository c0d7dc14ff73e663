"""Joining: turn an enrolment token into this device's own id and token."""

import socket
from dataclasses import dataclass
from pathlib import Path

from latency.agent.service_api import ServiceApi, checked_address
from latency.agent.settings import AgentSettings, agent_version
from latency.agent.state import Identity, find_identity, save_identity
from latency.agent.stop import StopSignal
from latency.messages import Registration
from latency.target import RuntimeSetting, Target


@dataclass(frozen=True, kw_only=True)
class JoinRequest:
    """What the person at the board asks for."""

    server: str
    enrol_token: str
    state_dir: Path
    setting: RuntimeSetting
    name: str = ""  # empty: the host's name
    ca_file: str = ""
    replace: bool = False  # forget an earlier identity in `state_dir`


def join(
    request: JoinRequest, target: Target, settings: AgentSettings, stop: StopSignal
) -> Identity:
    """Register this device and store its identity.

    Raises:
        ValueError: it has joined already, the address is none, or the token is empty.
        AgentError: the server refuses, or cannot be reached within a short time.
    """
    server = checked_address(request.server)
    known = find_identity(request.state_dir) if not request.replace else None
    if known is not None:
        raise ValueError(
            f"this device has joined {known.server} as {known.name!r}; --replace joins anew"
        )
    if not request.enrol_token or not request.enrol_token.isascii():
        raise ValueError("the enrolment token is empty or not plain text")
    registration = Registration(
        name=request.name or socket.gethostname(), target=target, agent_version=agent_version()
    )
    api = ServiceApi(server, request.enrol_token, settings)
    try:
        patience = settings.patience(stop, settings.join_patience_s)
        registered = api.register(registration, patience)
    finally:
        api.close()
    identity = Identity(
        server=server,
        device_id=registered.device_id,
        token=registered.token,
        name=registration.name,
        threads=request.setting.threads,
        affinity=request.setting.affinity,
        provider=request.setting.provider,
        provider_options=request.setting.provider_options,
        ca_file=request.ca_file,
    )
    save_identity(request.state_dir, identity)
    return identity
