"""The last page of the demo: the certificate in words, and where everything is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency.table import PublishedError
from service.artifacts.schemas import ArtifactRead
from service.devices.schemas import DeviceRead
from service.jobs.schemas import JobRead
from service.profiling.schemas import TableDetailRead

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the loop gave."""

    device: DeviceRead
    table: TableDetailRead
    job: JobRead
    certificate: dict[str, Any]
    folder: Path
    artifacts: list[ArtifactRead]
    samples: dict[str, list[int]]


def report_lines(result: DemoResult, seconds: float, peak_bytes: int | None) -> Iterator[str]:
    """Yield the lines of the report."""
    certificate = result.certificate
    predicted = certificate["predicted"]
    yield ""
    yield f"device     {result.device.name}: {result.device.target.label()}"
    yield f"table      version {result.table.version}, {result.table.operators} operators measured"
    yield f"           stock: {_error_text(result.table.error)}"
    if result.table.library_calibration is not None:
        yield f"           operator library: {_error_text(result.table.library_error)}"
    yield f"budget     {certificate['budget_ms']:g} ms for one image"
    yield from _genotype_lines(certificate["genotype"])
    yield (
        f"accuracy   {certificate['accuracy']:.2%} on the whole test set "
        f"({certificate['test_images']} images)"
    )
    yield f"density    {certificate['training']['density']:.1%} of the weights are kept"
    yield (
        f"predicted  {predicted['latency_ms']:.4f} ms "
        f"(90 %: {predicted['low_ms']:.4f} to {predicted['high_ms']:.4f}), "
        f"table version {predicted['table_version']}"
    )
    measured = certificate["measured"]
    tries = f" of {measured['tries']} tries" if measured["tries"] > 1 else ""
    yield f"measured   {measured['latency_ms']:.4f} ms, median of fresh processes{tries}"
    yield from _comparison_lines(certificate)
    yield f"verdict    {certificate['verdict']}"
    yield from _control_lines(certificate)
    yield f"samples    labels    {_digits(result.samples['labels'])}"
    yield f"           predicted {_digits(result.samples['predicted'])} (plain ONNX Runtime)"
    for artifact in result.artifacts:
        yield f"file       {result.folder / artifact.name}"
        yield f"           sha256 {artifact.sha256}, {artifact.size} bytes"
    memory = "unknown" if peak_bytes is None else f"{peak_bytes / _MIB:.0f} MiB"
    yield f"took       {seconds:.0f} s; peak memory of all processes together {memory}"


def _comparison_lines(certificate: dict[str, Any]) -> Iterator[str]:
    """Yield the regime, and how much faster the file is than its rivals, timed in turns."""
    library = certificate["operator_library"]["version"]
    runs = (
        f"operator library {library}" if certificate["regime"] == "library" else "stock operators"
    )
    yield f"runs on    {runs}"
    names = {"dense_parent": "its dense parent", "without_library": "itself without the library"}
    for key, name in names.items():
        if key not in certificate["compared"]:
            continue
        rival = certificate["compared"][key]
        faster = rival["speed_up"]
        yield (
            f"           {faster['ratio']:.2f} times as fast as {name}, {rival['latency_ms']:.4f} ms "
            f"(95 %: {faster['low']:.2f} to {faster['high']:.2f})"
        )


def _control_lines(certificate: dict[str, Any]) -> Iterator[str]:
    """Yield what the network had to beat, where the search was asked to say it."""
    controls = certificate["controls"]
    if controls is None:
        return
    for line in controls["controls"]:
        yield f"control    {line['name']:<12} {control_text(line)}"


def control_text(line: dict[str, Any]) -> str:
    """Return a line of the table of controls: accuracy, measured latency, verdict."""
    if "absent" in line:
        return str(line["verdict"])
    spread = "" if line["spread"] is None else f" ± {line['spread']:.2%}"
    measured = line["measured"]
    latency = "not measured" if measured is None else f"{measured['latency_ms']:.4f} ms measured"
    over = ", over the budget" if line["met"] is False else ""
    return f"{line['accuracy']:.2%}{spread}, {latency}{over}: {line['verdict']}"


def _error_text(error: PublishedError | None) -> str:
    return "not judged on held-out networks" if error is None else error.label()


def _genotype_lines(genotype: dict[str, Any]) -> Iterator[str]:
    for kind in ("normal", "reduce"):
        edges = "  ".join(f"{operation}({source})" for operation, source in genotype[kind])
        yield f"{kind:<10} {edges}"
    layers = genotype.get("layers", [])
    widths = [f"{c['layer']}={c['density']:g}" for c in layers if c["pattern"] == "channel"]
    if widths:
        yield f"widths     {' '.join(widths)}"
    densities = [float(c["density"]) for c in layers if c["pattern"] != "channel"]
    if densities:
        yield (
            f"layers     {len(densities)} are sparse, with densities from {min(densities):.1%} "
            f"to {max(densities):.1%}"
        )


def _digits(values: list[int]) -> str:
    return " ".join(str(value) for value in values)
