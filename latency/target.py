"""Target: a device together with its run-time setting. A change of any part is a new target."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property

CPU = "CPUExecutionProvider"
STOCK_LIBRARY = "none"  # operator library version when only stock ONNX Runtime operators run


@dataclass(frozen=True, kw_only=True)
class DeviceFacts:
    """What a device is made of; read once by the agent. Unknown facts are empty, never guessed."""

    machine: str  # instruction set architecture, such as x86_64 or aarch64
    processor: str  # model name as the operating system gives it
    cores: int  # that this process may use
    features: tuple[str, ...] = ()  # instruction set extensions that matter, sorted
    memory_bytes: int = 0
    system: str = ""  # operating system and kernel release
    governor: str = ""  # frequency governor of the first core


UNKNOWN_DEVICE = DeviceFacts(machine="", processor="", cores=1)


@dataclass(frozen=True, kw_only=True)
class RuntimeSetting:
    """What the owner of a device chooses of a target; each choice is a target of its own."""

    threads: int = 1  # of ONNX Runtime
    affinity: tuple[int, ...] = ()  # cores the run is pinned to; empty: not pinned
    provider: str = CPU  # that executes
    provider_options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """A device with its run-time setting: what a latency table is valid for."""

    facts: DeviceFacts
    runtime_version: str  # of ONNX Runtime
    execution_provider: str = CPU
    threads: int = 1
    affinity: tuple[int, ...] = ()  # cores the run is pinned to; empty: not pinned
    operator_library: str = STOCK_LIBRARY
    provider_options: tuple[tuple[str, str], ...] = ()  # of the execution provider, sorted

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every part, in hex. Without provider options it is that of older versions."""
        parts = asdict(self)
        if not self.provider_options:
            del parts["provider_options"]
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def has_library(self) -> bool:
        """Whether networks can be executed by the operator library, besides stock operators."""
        return self.operator_library != STOCK_LIBRARY

    def label(self) -> str:
        """Return a short text for people."""
        threads = f"{self.threads} thread" + ("s" if self.threads > 1 else "")
        parts = [self.facts.processor, f"ONNX Runtime {self.runtime_version}", threads]
        if self.execution_provider != CPU or self.provider_options:
            options = "".join(f" {name}={value}" for name, value in self.provider_options)
            parts.append(self.execution_provider + options)
        if self.has_library:
            parts.append(f"operator library {self.operator_library}")
        return " / ".join(parts)
