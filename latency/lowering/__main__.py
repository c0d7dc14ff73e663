"""Fastest exact form of an ONNX model: `python -m latency.lowering MODEL --output OUT`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.table_file import read_table
from latency.files import write_atomic
from latency.kernels.library import library_path, register
from latency.lowering.fastest_form import FastestForm, fastest_form
from latency.lowering.read_model import load_model

TOLERANCE = 1e-4  # largest difference of outputs, relative to the largest output
_IMAGES = 3
_READABLE = 0o644

Array = npt.NDArray[np.float32]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m latency.lowering", description=__doc__)
    parser.add_argument("model", type=Path, help="the ONNX model; zeros among its weights pay")
    parser.add_argument("--output", type=Path, required=True, help="where the new model goes")
    parser.add_argument(
        "--table", type=Path, help="table file of the target, by `edgewright tables export`"
    )
    options = parser.parse_args(arguments)
    try:
        _run(options.model, options.output, options.table)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(path: Path, output: Path, table: Path | None) -> None:
    _check_output(path, output)
    estimator = None
    if table is not None:
        estimator = TableEstimator(read_table(table).table)
    original = load_model(path)
    form = fastest_form(original, estimator)
    _report(form)
    made = form.model.SerializeToString(deterministic=True)
    difference = _compare(original.SerializeToString(), made, form.network.graph.input_shape)
    print(
        f"largest difference of outputs on {_IMAGES} random images: {difference:.2g} of the largest"
    )
    if library_path() is None:
        print("compared without the operator library only: it was not built here")
    write_atomic(output, made)
    output.chmod(_READABLE)  # a model is no secret: services of other users serve it
    print(f"written: {output} ({len(made)} bytes)")


def _check_output(path: Path, output: Path) -> None:
    """Refuse what the new model must not replace, before any work is done."""
    if output.is_symlink() or (output.exists() and not output.is_file()):
        raise ValueError(f"--output {output} is there and no plain file")
    if not output.parent.is_dir():
        raise ValueError(f"--output {output}: there is no folder {output.parent}")
    if output.exists() and path.exists() and output.samefile(path):
        raise ValueError(f"--output {output} is the model itself; give another name")


def _report(form: FastestForm) -> None:
    for layer in form.layers:
        print(f"{layer.name}: {layer.spec.label()}, {layer.density:.1%} of weights are not zero")
    print(f"removed channels: {form.removed_channels}")
    for regime, found in sorted(form.predictions.items()):
        interval = f"90 %: {found.low_ms:.4g} to {found.high_ms:.4g}"
        version = f"table version {found.table_version}"
        print(f"predicted, {regime.value}: {found.latency_ms:.4g} ms ({interval}), {version}")
    if form.predictions and form.unmeasured:
        print(f"operators without a row of their own in the table: {len(form.unmeasured)}")
    print(f"regime: {form.regime.value}")


def _compare(original: bytes, made: bytes, shape: tuple[int, int, int]) -> float:
    """Return the largest difference relative to the largest output.

    The new model runs as its fallback, and with the library where it was built.

    Raises:
        ValueError: it is over TOLERANCE, or a model does not run.
    """
    rng = np.random.default_rng(0)
    images = rng.standard_normal((_IMAGES, 1, *shape), dtype=np.float32)
    wanted = _outputs(original, images, library=False)
    scale = max(1e-6, float(np.abs(wanted).max()))
    worst = 0.0
    for library in [False] if library_path() is None else [False, True]:
        got = _outputs(made, images, library=library)
        if got.shape != wanted.shape:
            raise ValueError(f"the new model gives {got.shape}, the old one {wanted.shape}")
        worst = max(worst, float(np.abs(got - wanted).max()) / scale)
    # Written so that NaN fails as well.
    if not worst <= TOLERANCE:
        raise ValueError(f"the new model differs by {worst:.3g} of the largest output; not written")
    return worst


def _outputs(model: bytes, images: Array, *, library: bool) -> Array:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if library:
        register(options)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (image,) = session.get_inputs()
        outputs = [session.run(None, {image.name: each})[0] for each in images]
    except Exception as error:  # the runtime has a class of its own for every kind of failure
        raise ValueError(f"ONNX Runtime cannot run the model: {error}") from error
    return np.asarray(outputs, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())
