"""Run models in the ONNX Runtime of this process: `runtime_child.py FOLDER LIBRARY VERSION`.

Started by `runtime_versions.py` in environments that have ONNX Runtime and NumPy only, so nothing
else is imported here. Prints {model: {way: largest difference or message}} as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def options_with(library: str) -> Any:
    """Return the options of a session, with the library where its path is not empty."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Above this level convolutions are only rewritten into forms of one machine.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if library:
        options.register_custom_ops_library(library)
    return options


def largest_difference(path: Path, options: Any) -> float:
    """Return how far the output of a model is from the one that lies beside it.

    Raises:
        ValueError: it has another shape.
    """
    arrays = dict(np.load(path.with_suffix(".npz")))
    wanted = arrays.pop("y")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, arrays)
    if output.shape != wanted.shape:
        raise ValueError(f"shape {output.shape}, not {wanted.shape}")
    return float(np.abs(output - wanted).max(initial=0.0))


def main() -> None:
    """Run every model of the folder in both ways; the optimised forms are kept."""
    folder, library, version = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if onnxruntime.__version__ != version:
        sys.exit(f"this is ONNX Runtime {onnxruntime.__version__}, not {version}")
    found: dict[str, dict[str, float | str]] = {}
    for path in sorted(folder.glob("*.onnx")):
        found[path.stem] = {}
        for way in ("library", "fallback"):
            try:
                options = options_with(library if way == "library" else "")
                (folder / way).mkdir(exist_ok=True)
                options.optimized_model_filepath = str(folder / way / path.name)
                found[path.stem][way] = largest_difference(path, options)
            except Exception as error:  # noqa: BLE001 -- the runtime has no base class of its own
                found[path.stem][way] = str(error)[:300]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
