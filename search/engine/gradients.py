"""Loss and gradients of a step: computed anew on a processor, recorded once and replayed on a GPU.

A supernet is thousands of small kernels. A GPU finishes each sooner than Python can start the next,
so the whole pass is recorded as a CUDA graph and started as one.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LossOf = Callable[..., Tensor]  # of images, labels and what else a step is given

_WARM_UP = 3  # passes before the recording: libraries choose and allocate in the first ones


@dataclass(frozen=True, kw_only=True)
class StepGradients:
    """What an optimiser needs of one step; overwritten by the next step of the same kind."""

    loss: Tensor
    gradients: tuple[Tensor, ...]


class GradientSource:
    """Gives the gradients of steps.

    Args:
        device: of inputs and parameters.
    """

    def __init__(self, device: torch.device) -> None:
        self._records = device.type == "cuda"
        self._recorded: dict[str, tuple[Hashable, _Recording]] = {}

    def __call__(
        self,
        kind: str,
        state: Hashable,
        loss_of: LossOf,
        inputs: Sequence[Tensor],
        parameters: Sequence[Tensor],
    ) -> StepGradients:
        """Return the loss on `inputs`, and its gradients.

        Args:
            kind: of step. The last recording of each kind is kept.
            state: everything but values that the pass depends on; another state is recorded anew.
            loss_of: maps the inputs to the loss.
            inputs: of equal shapes in every step of a kind.
            parameters: tensors that the pass uses in place. They are differentiated, and after
                them those inputs that require gradients.
        """
        if not self._records:
            return _gradients(loss_of, inputs, parameters)
        if kind not in self._recorded or self._recorded[kind][0] != state:
            self._recorded.pop(kind, None)  # first of all, so that its memory is free again
            self._recorded[kind] = (state, _Recording(loss_of, inputs, parameters))
        return self._recorded[kind][1].replay(inputs)


class _Recording:
    """One pass, forward and backward, as a CUDA graph."""

    def __init__(
        self, loss_of: LossOf, inputs: Sequence[Tensor], parameters: Sequence[Tensor]
    ) -> None:
        self._inputs = [_standing(value) for value in inputs]
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UP):
                _gradients(loss_of, self._inputs, parameters)
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = _gradients(loss_of, self._inputs, parameters)

    def replay(self, inputs: Sequence[Tensor]) -> StepGradients:
        with torch.no_grad():
            for standing, value in zip(self._inputs, inputs, strict=True):
                standing.copy_(value)
        self._graph.replay()
        return self._found


def _gradients(
    loss_of: LossOf, inputs: Sequence[Tensor], parameters: Sequence[Tensor]
) -> StepGradients:
    wanted = [*parameters, *(value for value in inputs if value.requires_grad)]
    for value in wanted:
        value.grad = None
    loss = loss_of(*inputs)
    # Not `autograd.grad`, whose results need not lie in memory as the parameters do.
    torch.autograd.backward(loss, inputs=wanted)
    # What the loss does not depend on, as an option that the network of the step has not.
    gradients = [torch.zeros_like(value) if value.grad is None else value.grad for value in wanted]
    return StepGradients(loss=loss.detach(), gradients=tuple(gradients))


def _standing(value: Tensor) -> Tensor:
    """Return a copy that stays where it is: a graph reads and writes fixed addresses."""
    return value.detach().clone().requires_grad_(value.requires_grad)
