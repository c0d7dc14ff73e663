"""Where a training computes: on the processor, or on a GPU where there is one."""

from contextlib import AbstractContextManager, nullcontext

import torch

CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda")


def training_device(name: str = "auto") -> torch.device:
    """Return the device of that name; `auto` is the GPU where there is one.

    Raises:
        ValueError: unknown name, or no GPU that torch can use.
    """
    if name not in DEVICES:
        raise ValueError(f"device: must be one of {list(DEVICES)}, got {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: torch finds no GPU; use 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bfloat16 where it pays on a GPU, else float32.

    Casts are not cached: a recorded step (`gradients.py`) must hold every one of them.
    """
    if device.type != "cuda":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
