"""Events and results of a job as lines for people."""

from typing import Any

from service.client.events import Event
from service.jobs.schemas import JobRead

_NUMBERS = (
    ("train_loss", "loss {:.3f}"),
    ("valid_accuracy", "accuracy {:.1%}"),
    ("density", "density {:.2f}"),
    ("expected_latency_ms", "expected {:.3f} ms"),
)


def event_line(event: Event) -> str:
    """Return a line for an event; empty where it says nothing to people."""
    if event.kind == "state":
        return _state_line(event.payload)
    if event.kind == "note":
        return f"  {event.payload.get('message', '')}"
    if event.kind == "progress":
        return _progress_line(event.payload)
    return ""


def result_lines(job: JobRead) -> list[str]:
    """Return what an ended job has found; nothing where it says nothing to people."""
    result = job.result or {}
    certificate = result.get("certificate")
    if isinstance(certificate, dict):
        accuracy, images = certificate["accuracy"], certificate["test_images"]
        # An older certificate has none of these.
        controls, regret = certificate.get("controls"), certificate.get("regret")
        compression = certificate.get("compression")
        return [
            f"accuracy {accuracy:.2%} on the whole test set ({images} images)",
            f"budget {certificate['verdict']}",
            *([_compression_line(compression, certificate)] if compression else []),
            *([f"controls: {controls['verdict']}"] if controls else []),
            *(regret["text"].splitlines() if regret else []),
            *_front_lines(result.get("front")),
            f"files: edgewright pull {job.id}",
        ]
    if isinstance(result.get("measured"), dict):
        return [f"measured {result['measured']['latency_ms']:.4f} ms"]
    return []


def _compression_line(compression: dict[str, Any], certificate: dict[str, Any]) -> str:
    """Return what the network was before, and how much faster it is than that as measured."""
    parent = compression["parent"]
    line = f"dense it has {parent['accuracy']:.2%}; {compression['density']:.1%} of the weights are left"
    faster = certificate["compared"].get("dense_parent", {}).get("speed_up")
    return line if faster is None else f"{line}; {faster['ratio']:.2f} times as fast"


def _front_lines(front: dict[str, Any] | None) -> list[str]:
    """Return a line for each network to choose from: number, latency, hint."""
    return [
        f"front {one['index']}: {_latency_text(one)}, {one['shared_weight_accuracy']:.1%} with shared "
        f"weights{', dominated' if one['dominated'] else ''}{', derived' if one['derived'] else ''}"
        for one in (front or {}).get("candidates", [])
    ]


def _latency_text(candidate: dict[str, Any]) -> str:
    """Return what a candidate takes; of several devices all but the first are named."""
    return ", ".join(map(_latency_on, (candidate, *candidate.get("also", ()))))


def _latency_on(part: dict[str, Any]) -> str:
    on = f" on {part['device']}" if "device" in part else ""
    if part["measured"] is None:
        return f"{_predicted_text(part['predicted'])}{on}, not measured"
    return f"{part['measured']['latency_ms']:.4f} ms measured{on}"


def _state_line(payload: dict[str, Any]) -> str:
    error = payload.get("error")
    suffix = f": {error.get('message', '')}" if isinstance(error, dict) else ""
    return f"job {payload.get('state', '')}{suffix}"


def _progress_line(payload: dict[str, Any]) -> str:
    stage = payload.get("stage", "")
    if stage == "device":
        return f"  device: {payload.get('done')} of {payload.get('total')} measured"
    if payload.get("finished"):
        return f"  {stage} done"
    if "epoch" in payload:
        return _epoch_line(stage, payload)
    if "verdict" in payload:
        return f"  {stage}: {payload['verdict']}"
    if isinstance(payload.get("prediction"), dict):
        return _prediction_line(stage, payload["prediction"])
    if "candidates" in payload:
        return f"  {stage}: {payload['candidates']} networks to choose from"
    if "max_abs_difference" in payload:
        difference = payload["max_abs_difference"]
        return f"  {stage}: {payload.get('bytes')} bytes, {difference:.1e} at most from torch"
    return ""


def _epoch_line(stage: str, payload: dict[str, Any]) -> str:
    numbers = [
        form.format(payload[name])
        for name, form in _NUMBERS
        if isinstance(payload.get(name), int | float)
    ]
    phase = f" {payload['phase']}" if payload.get("phase") else ""
    stage = f"{stage} parent" if payload.get("parent") else stage
    epoch = f"{payload.get('epoch', '?')}/{payload.get('epochs', '?')}"
    return f"  {stage}{phase} {epoch}  {'  '.join(numbers)}".rstrip()


def _prediction_line(stage: str, prediction: dict[str, Any]) -> str:
    return f"  {stage}: {_predicted_text(prediction)}"


def _predicted_text(prediction: dict[str, Any]) -> str:
    low, high = prediction["low_ms"], prediction["high_ms"]
    return (
        f"predicted {prediction['latency_ms']:.4f} ms (90 %: {low:.4f} to {high:.4f}), "
        f"table version {prediction['table_version']}"
    )
