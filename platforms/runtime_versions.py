"""On which versions of ONNX Runtime do the library and its fallback work? `make runtime-versions`.

Each version runs in an environment of its own. Every operator of the library runs as a model that
carries its fallback, once with the library and once without, and is held against the evaluator of
the package onnx, which runs the same fallback in NumPy. Prints the table of docs/kernels.md.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from latency.kernels import library_path, register
from latency.kernels.library import DOMAIN
from latency.lowering.fallbacks import fallback_function
from platforms.tools import WORK, SkippedError, fetch, main, once
from tests.latency.kernels.nodes import correct_node, registered_op_types

# The last of every minor version for Python 3.11.
VERSIONS = (
    "1.18.1", "1.19.2", "1.20.1", "1.21.1", "1.22.1", "1.23.2", "1.24.4", "1.25.1", "1.26.0",
    "1.27.0", "1.28.0", "1.29.0", "1.30.0", "1.31.1", "1.32.0",
)  # fmt: skip
NUMPY = {"1.18.1": "numpy<2"}  # others take any
NODES_OF_EACH = 4
TOLERANCE = 2e-4
# What a fallback makes its weight of; all of it has to be folded when a session is made.
NOT_FOLDED = {"ScatterND", "ConstantOfShape", "Transpose", "Concat"}


@dataclass(frozen=True)
class Verdict:
    """What one version made of all models; a difference is None where something failed."""

    version: str
    library: float | None
    fallback: float | None
    left_in_graph: frozenset[str]  # operators that should have been folded
    messages: tuple[str, ...]

    def row(self) -> str:
        """Return the row of the table."""
        works = [
            "no" if difference is None else f"yes ({difference:.0e})"
            for difference in (self.library, self.fallback)
        ]
        folded = ", ".join(sorted(self.left_in_graph)) or "yes"
        return f"| {self.version} | {works[0]} | {works[1]} | {folded} |"


def write_models(folder: Path) -> int:
    """Write models, inputs and reference outputs of every operator; return how many operators."""
    register(onnxruntime.SessionOptions())
    op_types = registered_op_types()
    rng = np.random.default_rng(0)
    for number in range(len(op_types) * NODES_OF_EACH):
        node = correct_node(op_types[number % len(op_types)], rng)
        model = node.model([fallback_function(node.op_type)], fixed_shapes=True)
        (output,) = ReferenceEvaluator(onnx.load_from_string(model)).run(None, dict(node.inputs))
        (folder / f"{number}.onnx").write_bytes(model)
        arrays: dict[str, Any] = {**node.inputs, "y": output}
        np.savez(folder / f"{number}.npz", **arrays)
    return len(op_types)


def runtime(version: str) -> Path:
    """Return the Python of an environment that has this version and NumPy.

    Raises:
        SkippedError: they cannot be fetched.
    """
    folder = WORK / "runtimes" / version
    with once(folder, version) as is_new:
        if is_new:
            venv.create(folder)
            pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
            fetch(
                [*pip, "install", "--quiet", "--no-deps", f"onnxruntime=={version}",
                 NUMPY.get(version, "numpy")],
                f"onnxruntime {version}",
            )  # fmt: skip
    return folder / "bin" / "python"


def nodes_of(folder: Path) -> list[tuple[str, set[tuple[str, str]]]]:
    """Return (model, operators with their domains) of optimised models, and delete them."""
    found = [
        (path.stem, {(node.op_type, node.domain) for node in onnx.load(path).graph.node})
        for path in sorted(folder.glob("*.onnx"))
    ]
    shutil.rmtree(folder)
    return found


def examine(version: str, models: Path, library: Path) -> Verdict:
    """Run all models in one version."""
    child = Path(__file__).with_name("runtime_child.py")
    command = [str(runtime(version)), str(child), str(models), str(library), version]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout)
    differences: dict[str, list[float]] = {"library": [], "fallback": []}
    messages = []
    for name, ways in found.items():
        for way, result in ways.items():
            if isinstance(result, float) and result <= TOLERANCE:
                differences[way].append(result)
            else:
                messages.append(f"{version}, model {name}, {way}: {result}")
    for name, nodes in nodes_of(models / "library"):
        if DOMAIN not in {domain for _, domain in nodes}:
            messages.append(f"{version}, model {name}: the library's operator was not used")
            differences["library"].clear()
    left = {
        op_type for _, nodes in nodes_of(models / "fallback") for op_type, _ in nodes
    } & NOT_FOLDED
    library_way, fallback_way = (
        max(values) if len(values) == len(found) else None for values in differences.values()
    )
    return Verdict(version, library_way, fallback_way, frozenset(left), tuple(messages))


def tabulate() -> None:
    """Examine every version and print the table.

    Raises:
        SkippedError: there is no library here, or a version cannot be fetched.
        ValueError: a version fails in one of the ways.
    """
    library = library_path()
    if library is None:
        raise SkippedError("the operator library is not built")
    with tempfile.TemporaryDirectory() as work:
        operators = write_models(Path(work))
        print(f"{operators} operators, {operators * NODES_OF_EACH} models\n")
        print("| ONNX Runtime | with the library | with the fallback | weight folded at load |")
        print("| --- | --- | --- | --- |")
        messages: list[str] = []
        for version in VERSIONS:
            verdict = examine(version, Path(work), library)
            print(verdict.row(), flush=True)
            messages += verdict.messages
    if messages:
        raise ValueError("\n".join(messages))


if __name__ == "__main__":
    main(tabulate, "make runtime-versions")
