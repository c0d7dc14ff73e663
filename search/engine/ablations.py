"""What each remedy and each option is worth: recipes with one remedy less, or with one option.

A remedy is a departure from DASS (decision 0008). Taken away, its fields have the values of the
recipe `dass-paper`; everything else stays as it is. An option is an idea of another paper that the
same loop can follow (decision 0024); no recipe has one of its own accord.
"""

from dataclasses import replace
from typing import Any

from search.engine.recipes import RECIPES, LatencyKind, Relaxation, SearchRecipe
from search.space.sparsity import MaskRule

# Fields of SearchRecipe by the remedy that they make. Order of the gradient is listed although first
# order is chosen for its speed: whether anything is lost by it is to be measured too.
REMEDIES: dict[str, tuple[str, ...]] = {
    "first-order": ("second_order",),
    "alphas-in-scores": ("alphas_in_scores",),
    "annealing": ("annealed",),
    "global-allocation": ("allocation",),
    "width-correction": ("width_corrected",),
    "latency-constraint": ("constrained",),
    "budget-pull": ("pull",),
    "repair": ("repaired",),
    "scores-without-decay": ("score_decay",),
    "momentum": ("momentum",),
    "warm-up": ("warmup_epochs",),
}

# Fields of SearchRecipe by the option that they make, with its values.
OPTIONS: dict[str, dict[str, Any]] = {
    "soft-masks": {"mask_rule": MaskRule.SOFT},
    "envelope-masks": {"mask_rule": MaskRule.ENVELOPE},
    "latency-regressor": {"latency_kind": LatencyKind.REGRESSOR},
    "mixed-paths": {"relaxation": Relaxation.MIXED_PATH},
    "smooth-pruned": {"smoothness": 6.0},
}


def without(recipe: SearchRecipe, remedy: str) -> SearchRecipe:
    """Return the recipe with one remedy taken away.

    Raises:
        ValueError: there is no such remedy.
    """
    if remedy not in REMEDIES:
        raise ValueError(f"ablation: unknown remedy {remedy!r}; allowed: {list(REMEDIES)}")
    paper = RECIPES["dass-paper"]
    return replace(recipe, **{field: getattr(paper, field) for field in REMEDIES[remedy]})


def with_option(recipe: SearchRecipe, option: str) -> SearchRecipe:
    """Return the recipe with one option.

    Raises:
        ValueError: there is no such option.
    """
    if option not in OPTIONS:
        raise ValueError(f"ablation: unknown option {option!r}; allowed: {list(OPTIONS)}")
    return replace(recipe, **OPTIONS[option])


# What an ablation on a processor can afford.
ABLATIONS = {
    **{f"without-{name}": without(RECIPES["quick"], name) for name in REMEDIES},
    **{f"with-{name}": with_option(RECIPES["quick"], name) for name in OPTIONS},
}
