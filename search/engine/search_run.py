"""SearchRun: everything that changes during a search, and that a checkpoint therefore holds."""

from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from search.data.batches import seeded_generator
from search.engine.device import CPU
from search.engine.problem import SearchProblem
from search.engine.recipes import Relaxation, SearchRecipe
from search.engine.relaxation import start_paths
from search.layers.memory import memory_format
from search.layers.sparse import set_pattern
from search.objective.constraint import DualAscent
from search.requests import SPACE_NAMES, SearchRequest

CELLS = SPACE_NAMES[0]


class SearchRun:
    """Supernet, alphas, their three separate optimisers, the multiplier, the position.

    Args:
        problem: what is searched; the seed of its request decides all weights and alphas.
        recipe: how.
        device: where the supernet computes; the alphas, a few numbers, stay on the processor.

    Raises:
        ValueError: the recipe mixes the paths of a space that has none.
    """

    def __init__(
        self,
        problem: SearchProblem[Any],
        recipe: SearchRecipe,
        device: torch.device = CPU,
    ) -> None:
        self.request = request = problem.request
        self.epoch = 0  # finished epochs
        self.history: list[dict[str, Any]] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            supernet = problem.supernet(recipe)
        self.supernet = supernet.to(device, memory_format=memory_format())  # type: ignore[call-overload]
        set_pattern(self.supernet, request.pattern)
        self.alphas = problem.alphas(seeded_generator(request.seed, "alphas"))
        if recipe.relaxation is Relaxation.MIXED_PATH:
            if request.space != CELLS:
                raise ValueError(f"search: only {CELLS!r} has mixed paths, not {request.space!r}")
            start_paths(self.alphas.parameters())
        self.dual = DualAscent(penalty=recipe.penalty, rate=recipe.dual_rate, pull=recipe.pull)
        self.weight_optimizer = torch.optim.SGD(
            weight_parameters(self.supernet),
            lr=recipe.weight_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
        )
        self.score_optimizer = torch.optim.SGD(
            score_parameters(self.supernet),
            lr=recipe.score_lr,
            momentum=recipe.momentum,
            weight_decay=recipe.score_decay,
        )
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas.parameters(),
            lr=recipe.alpha_lr,
            betas=(0.5, 0.999),
            weight_decay=recipe.alpha_decay,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values."""
        return {
            "request": _identity(self.request),
            "epoch": self.epoch,
            "history": self.history,
            "supernet": self.supernet.state_dict(),
            "alphas": self.alphas.state_dict(),
            "multiplier": self.dual.multiplier,
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "score_optimizer": self.score_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`.

        Raises:
            ValueError: the state belongs to another request.
        """
        if state["request"] != _identity(self.request):
            raise ValueError("search: the checkpoint in the work folder is of another request")
        self.epoch = state["epoch"]
        self.history = state["history"]
        self.supernet.load_state_dict(state["supernet"])
        self.alphas.load_state_dict(state["alphas"])
        self.dual.multiplier = state["multiplier"]
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.score_optimizer.load_state_dict(state["score_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])


def weight_parameters(supernet: nn.Module) -> list[nn.Parameter]:
    """Return weights, biases and batch norm parameters."""
    return [value for name, value in supernet.named_parameters() if not _is_score(name)]


def score_parameters(supernet: nn.Module) -> list[nn.Parameter]:
    """Return the scores of the sparse layers."""
    return [value for name, value in supernet.named_parameters() if _is_score(name)]


def _is_score(name: str) -> bool:
    return name.rpartition(".")[2] == "score"


def _identity(request: SearchRequest) -> dict[str, Any]:
    """Return the request as plain values that survive a checkpoint."""
    values = asdict(request)
    return {**values, "pattern": request.pattern.value}
