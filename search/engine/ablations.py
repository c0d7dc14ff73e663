"""What each remedy against the faults of the published procedure is worth: recipes with one less.

A remedy is a departure from DASS (decision 0008). Taken away, its fields have the values of the
recipe `dass-paper`; everything else stays as it is.
"""

from dataclasses import replace

from search.engine.recipes import RECIPES, SearchRecipe

# Fields of SearchRecipe by the remedy that they make. Order of the gradient is listed although first
# order is chosen for its speed: whether anything is lost by it is to be measured too.
REMEDIES: dict[str, tuple[str, ...]] = {
    "first-order": ("second_order",),
    "alphas-in-scores": ("alphas_in_scores",),
    "annealing": ("annealed",),
    "global-allocation": ("allocation",),
    "width-correction": ("width_corrected",),
    "latency-constraint": ("constrained",),
    "repair": ("repaired",),
    "scores-without-decay": ("score_decay",),
    "momentum": ("momentum",),
    "warm-up": ("warmup_epochs",),
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


# What an ablation on a processor can afford.
ABLATIONS = {remedy: without(RECIPES["quick"], remedy) for remedy in REMEDIES}
