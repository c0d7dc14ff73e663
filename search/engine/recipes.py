"""Recipes: complete, named schedules of a search. No torch, so that they can be listed anywhere."""

from dataclasses import dataclass, replace
from enum import StrEnum

from search.requests import RECIPE_NAMES
from search.space.sparsity import Allocation, MaskRule


class LatencyKind(StrEnum):
    """Where the gradient of the expected latency comes from."""

    TABLE = "table"  # the formula over the edges of a cell
    REGRESSOR = "regressor"  # a network that has learnt what the table says, arXiv 2001.06392


class Relaxation(StrEnum):
    """How the operations of an edge are mixed."""

    SOFTMAX = "softmax"  # by probabilities: DARTS, arXiv 1806.09055
    # By real coefficients, any number of which become exactly zero: Sparse Supernet, arXiv 2007.16112.
    MIXED_PATH = "mixed-path"


@dataclass(frozen=True, kw_only=True)
class SearchRecipe:
    """Size of the supernet, length of the three stages, and how each part is trained.

    The supernet may be narrower and shallower than the exported network, which alone is priced.
    What departs from DASS (doi 10.1145/3609385) has a field of its own; `ablations.py` names them.
    """

    supernet_channels: int
    supernet_cells: int
    batch_size: int
    dense_epochs: int  # weights, nothing masked
    scores_epochs: int  # scores choose the masks while the density falls
    masked_epochs: int  # the surviving weights, masks fixed
    path_epochs: int  # behind the search, where its supernet is to judge single networks
    warmup_epochs: int  # at the start of the dense stage, without architecture steps
    weight_lr: float  # peak, cosine within the stage
    score_lr: float
    alpha_lr: float
    weights_per_alpha: int = 1  # weight steps for each architecture step
    momentum: float = 0.9
    weight_decay: float = 3e-4
    alpha_decay: float = 1e-3
    clip_norm: float = 5.0
    beta_weight: float = 0.0  # of the regulariser at the end; grows linearly from zero
    penalty: float = 1.0  # of the latency constraint, see `objective/constraint.py`
    dual_rate: float = 0.05  # of its multiplier
    pull: float = 0.3  # at most so hard an unused budget pulls; 0: a budget is only kept
    final_temperature: float = 0.1  # of the expected latency at the end; 1 at the start
    steps_per_epoch: int | None = None  # at most so many weight steps; None takes all data
    shift: int = 1  # random crops after padding by this many pixels
    flip: bool = False  # mirrored images; wrong for digits and letters
    # Architecture gradient through one step of the weights (DARTS, arXiv 1806.09055, equations 7
    # and 8): four passes for each architecture step instead of one.
    second_order: bool = False
    alphas_in_scores: bool = True  # architecture steps in the scores stage; DASS has none
    # The density falls by a cubic curve (Zhu and Gupta, arXiv 1710.01878); DASS starts at its end.
    annealed: bool = True
    allocation: Allocation = Allocation.GLOBAL  # LAMP, arXiv 2010.07611; DASS: per layer
    # Judged at as many weights per channel as the exported network has; DASS: at its density.
    width_corrected: bool = True
    score_decay: float = 0.0  # pulls all scores towards the threshold alike; DASS: as the weights
    final_lr: float | None = None  # where each cosine ends; None: at 1 % of its peak
    cosine_epochs: int | None = None  # half a period of each cosine; None: its stage
    mask_rule: MaskRule = MaskRule.HARD  # others replace the scores of the middle stage
    latency_kind: LatencyKind = LatencyKind.TABLE
    relaxation: Relaxation = Relaxation.SOFTMAX
    # Of mixed paths: what each step of the architecture takes off a coefficient at the mean price, and
    # off the length of all coefficients of an edge, as shares of `alpha_lr`.
    path_l1: float = 0.3
    path_l2: float = 0.1
    # Weight of the regulariser of the pruned objective (`objective/smoothness.py`), and the standard
    # deviation of its noise, on images as they are trained on. The authors' code has 6 and 0.25.
    smoothness: float = 0.0
    smoothness_noise: float = 0.25
    constrained: bool = True  # the budget is a constraint on the alphas; DASS knows no latency
    repaired: bool = True  # the derived network is changed until its prediction meets the budget

    @property
    def epochs(self) -> int:
        """All epochs of the search together."""
        return self.dense_epochs + self.scores_epochs + self.masked_epochs


RECIPES = {
    "tiny": SearchRecipe(
        supernet_channels=4,
        supernet_cells=3,
        batch_size=16,
        dense_epochs=1,
        scores_epochs=1,
        masked_epochs=1,
        path_epochs=1,
        warmup_epochs=0,
        weight_lr=0.05,
        score_lr=0.1,
        alpha_lr=0.02,
        steps_per_epoch=3,
    ),
    "quick": SearchRecipe(
        supernet_channels=8,
        supernet_cells=3,
        batch_size=32,
        dense_epochs=2,
        scores_epochs=2,
        masked_epochs=2,
        path_epochs=10,
        warmup_epochs=1,
        weight_lr=0.05,
        score_lr=0.1,
        alpha_lr=0.03,
        weights_per_alpha=2,
    ),
    "standard": SearchRecipe(
        supernet_channels=16,
        supernet_cells=8,
        batch_size=64,
        dense_epochs=25,
        scores_epochs=10,
        masked_epochs=15,
        path_epochs=25,
        warmup_epochs=10,
        weight_lr=0.025,
        score_lr=0.1,
        alpha_lr=6e-4,
        shift=4,
        flip=True,
    ),
}
# Ten thousand photographs of 32 pixels on one core: eight minutes for the search, and for each training.
RECIPES["cpu"] = replace(
    RECIPES["quick"],
    dense_epochs=4,
    scores_epochs=3,
    masked_epochs=3,
    warmup_epochs=2,
    alpha_lr=0.02,
    steps_per_epoch=30,
    shift=4,
    flip=True,
)
# Tens of thousands of images on one GPU, where a step is thousands of small kernels, so larger batches
# should pay. Batch and weight rate are those of PC-DARTS (Xu et al., arXiv 1907.05737).
RECIPES["gpu"] = replace(
    RECIPES["standard"],
    batch_size=256,
    dense_epochs=13,
    scores_epochs=6,
    masked_epochs=11,
    path_epochs=15,
    warmup_epochs=5,
    weight_lr=0.1,
    alpha_lr=1e-3,
)
# The published procedure, as its authors' code runs it (HERO-MDH/DASS-Differentiable-Architecture-
# Search-for-Sparse-Neural-Networks), without the defects: there the optimiser of the weights moves
# the alphas as well. The one batch norm with weights, the stem's, rests in the scores stage.
RECIPES["dass-paper"] = SearchRecipe(
    supernet_channels=16,
    supernet_cells=8,
    batch_size=32,
    dense_epochs=100,
    scores_epochs=50,
    masked_epochs=100,
    path_epochs=100,
    warmup_epochs=0,
    weight_lr=0.025,
    score_lr=0.1,
    alpha_lr=3e-4,
    momentum=0.0,
    weight_decay=1e-3,
    alpha_decay=1e-3,
    shift=4,
    flip=True,
    second_order=True,
    alphas_in_scores=False,
    annealed=False,
    allocation=Allocation.PER_LAYER,
    width_corrected=False,
    score_decay=1e-3,
    final_lr=1e-3,
    cosine_epochs=100,
    pull=0.0,
    constrained=False,
    repaired=False,
)


def recipe_named(name: str) -> SearchRecipe:
    """Return the recipe.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in RECIPES:
        raise ValueError(f"search: unknown recipe {name!r}; allowed: {list(RECIPE_NAMES)}")
    return RECIPES[name]
