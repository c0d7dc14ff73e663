"""An ONNX Runtime session for a target, and how it is run."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnxruntime

from latency.kernels.library import library_version, register
from latency.target import Target

# Copies of one weightless operator in a micro-model would be merged into one node.
_NOT_IN_MICRO_MODELS = ["CommonSubexpressionElimination"]


def open_session(
    model: bytes, target: Target, *, micro_model: bool = False
) -> onnxruntime.InferenceSession:
    """Return a session with the target's threads and provider and every graph optimisation.

    Args:
        model: ONNX.
        target: its operator library is loaded into the session.
        micro_model: keep copies of one operator apart.

    Raises:
        ValueError: this runtime has no such provider, it refuses the model, or the operator
            library is not that of the target.
    """
    available = onnxruntime.get_available_providers()
    if target.execution_provider not in available:
        raise ValueError(f"no provider {target.execution_provider!r}; this runtime has {available}")
    options = _with_library(session_options(target), target)
    try:
        session = onnxruntime.InferenceSession(
            model,
            sess_options=options,
            providers=[(target.execution_provider, dict(target.provider_options))],
            disabled_optimizers=_NOT_IN_MICRO_MODELS if micro_model else None,
        )
    except Exception as error:
        # The runtime raises some twenty classes of its own, with no common base but Exception.
        raise ValueError(f"ONNX Runtime cannot load the model: {error}") from error
    # One that cannot start, for want of a driver, is replaced by the processor with a warning only.
    if target.execution_provider not in session.get_providers():
        raise ValueError(
            f"{target.execution_provider} cannot start on this device; see the runtime's own log"
        )
    return session


def session_options(target: Target) -> onnxruntime.SessionOptions:
    """Return the options that every latency of ours is stated for."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = target.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors only; warnings would go to the agent's log line by line
    return options


def _with_library(
    options: onnxruntime.SessionOptions, target: Target
) -> onnxruntime.SessionOptions:
    if target.has_library:
        found = library_version()
        if found != target.operator_library:
            raise ValueError(
                f"the target has operator library {target.operator_library}, "
                f"this process has {found or 'none'}"
            )
        register(options)
    return options


def random_feed(
    session: onnxruntime.InferenceSession, seed: int = 0
) -> dict[str, npt.NDArray[np.float32]]:
    """Return seeded normal inputs by name.

    Raises:
        ValueError: the model's inputs are not float32 tensors of fixed shape.
    """
    rng = np.random.default_rng(seed)
    feed = {}
    for argument in session.get_inputs():
        fixed = all(isinstance(size, int) and size > 0 for size in argument.shape)
        if argument.type != "tensor(float)" or not fixed:
            raise ValueError(
                f"input {argument.name!r} must be float32 of fixed shape, "
                f"got {argument.type} {argument.shape}"
            )
        feed[argument.name] = rng.standard_normal(argument.shape, dtype=np.float32)
    return feed


def runner(session: onnxruntime.InferenceSession, seed: int = 0) -> Callable[[], object]:
    """Return a function that runs the session once on seeded inputs, as a user would."""
    feed = random_feed(session, seed)
    return lambda: session.run(None, feed)
