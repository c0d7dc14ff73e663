"""Where a search is: which stage an epoch belongs to, and what follows from it. Pure functions."""

import math
from enum import StrEnum

from search.engine.recipes import SearchRecipe
from search.space.sparsity import MaskRule


class Stage(StrEnum):
    """The three stages of DASS, and what may follow for a front."""

    DENSE = "dense"
    SCORES = "scores"
    MASKED = "masked"
    PATHS = "paths"  # single networks with the weights and masks that they share; alphas rest


def stage_of(recipe: SearchRecipe, epoch: int) -> tuple[Stage, int, int]:
    """Return the stage of an epoch (from 0), the epoch within the stage, and its length."""
    first_masked = recipe.dense_epochs + recipe.scores_epochs
    if epoch < recipe.dense_epochs:
        return Stage.DENSE, epoch, recipe.dense_epochs
    if epoch < first_masked:
        return Stage.SCORES, epoch - recipe.dense_epochs, recipe.scores_epochs
    if epoch < recipe.epochs:
        return Stage.MASKED, epoch - first_masked, recipe.masked_epochs
    return Stage.PATHS, epoch - recipe.epochs, recipe.path_epochs


def trains_scores(recipe: SearchRecipe, stage: Stage) -> bool:
    """Return whether scores are trained in a stage while the weights rest."""
    return stage is Stage.SCORES and recipe.mask_rule is MaskRule.HARD


def annealed_density(final: float, done: float) -> float:
    """Return the density after a share `done`, from 0 to 1, of a pruning: cubic from 1 to `final`.

    Zhu and Gupta, arXiv 1710.01878: most is removed while the network can still recover.
    """
    return final + (1.0 - final) * (1.0 - done) ** 3


def supernet_density(density: float, channels: int, supernet_channels: int) -> float:
    """Return the density at which operations of a narrower supernet are judged.

    It keeps as many weights per output channel as the exported network will: at the same fraction
    a pointwise layer of the supernet would be nearly dead, and pools and skips would win.
    """
    return min(1.0, density * max(1.0, channels / supernet_channels))


def learning_rate(recipe: SearchRecipe, epoch: int, share: float) -> float:
    """Return the rate of the weights, or of the scores in their stage.

    Args:
        recipe: the schedule.
        epoch: from 0.
        share: of the epoch that is done, from 0 to 1.
    """
    stage, position, length = stage_of(recipe, epoch)
    peak = recipe.score_lr if trains_scores(recipe, stage) else recipe.weight_lr
    return cosine(peak, (position + share) / (recipe.cosine_epochs or length), recipe.final_lr)


def cosine(peak: float, done: float, final: float | None = None) -> float:
    """Return the rate after a share `done` of a cosine to `final`, or to 1 % of the peak."""
    low = 0.01 if final is None else final / peak
    return peak * (low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * done)))


def temperature(recipe: SearchRecipe, done: float) -> float:
    """Return the temperature of the expected latency after a share `done` of the search."""
    return float(recipe.final_temperature**done)
