"""What every sparse layer of the supernet does in an epoch: its mode, density, masks.

The middle stage chooses the masks: by HYDRA's scores, which are trained while the weights rest; or,
under another mask rule, by the weights, which are trained on and leave by that rule.
"""

from torch import nn

from search.engine.recipes import SearchRecipe
from search.engine.schedule import (
    Stage,
    annealed_density,
    stage_of,
    supernet_density,
    trains_scores,
)
from search.layers.allocation import allocate
from search.layers.mask_rules import apply_mask_rule
from search.layers.sparse import LayerMode, freeze_masks, reset_scores, set_mode, sparse_layers
from search.requests import SearchRequest
from search.space.sparsity import MaskRule


def enter_epoch(
    supernet: nn.Module, recipe: SearchRecipe, request: SearchRequest, epoch: int
) -> Stage:
    """Set mode and density of every layer for the epoch (from 0) that begins; return its stage."""
    stage, position, length = stage_of(recipe, epoch)
    if stage is Stage.PATHS:  # masks stay as they are
        return stage
    by_weights = recipe.mask_rule is not MaskRule.HARD  # they are their own scores
    if stage is Stage.SCORES:
        if position == 0 or by_weights:
            reset_scores(supernet)
        done = (position + 1) / length if recipe.annealed else 1.0
        _allocate(supernet, recipe, request, done)
    if position == 0 and stage is Stage.MASKED:
        if by_weights:
            reset_scores(supernet)
            _allocate(supernet, recipe, request, 1.0)
        freeze_masks(supernet)
    if position == 0 and (stage is not Stage.SCORES or not by_weights):
        set_mode(supernet, LayerMode(stage.value))
    return stage


def leave_by_rule(supernet: nn.Module, recipe: SearchRecipe, stage: Stage, rate: float) -> None:
    """Let weights leave by the mask rule after a step of their optimiser, whose rate is given."""
    if stage is Stage.SCORES and not trains_scores(recipe, stage):
        apply_mask_rule(sparse_layers(supernet).values(), recipe.mask_rule, rate)


def _allocate(
    supernet: nn.Module, recipe: SearchRecipe, request: SearchRequest, done: float
) -> None:
    """Set the densities of all layers after a share `done` of the pruning."""
    final = request.density
    if recipe.width_corrected:
        final = supernet_density(final, request.channels, recipe.supernet_channels)
    allocate(sparse_layers(supernet), annealed_density(final, done), recipe.allocation)
