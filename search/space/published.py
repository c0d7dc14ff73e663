"""The cells that DASS published for CIFAR-10, as data: what other work is compared with.

Mousavi, Loni, Alibeigi, Daneshtalab: DASS, Differentiable Architecture Search for Sparse Neural
Networks, ACM TECS 22(5s), article 105, 2023, doi 10.1145/3609385. One pair of cells per pruning
ratio, 99, 95 and 90 % of the weights of every layer removed. Cells and sizes are facts read from
the authors' repository (HERO-MDH/DASS-Differentiable-Architecture-Search-for-Sparse-Neural-
Networks: `Scripts/genotypes.py`, suffixes none, 95 and 90, and the README); no code is taken.
"""

from search.space.genotype import Edge, Genotype

# (channels of the first cell, cells) of the sizes in the README.
SIZES = {"tiny": (30, 16), "small": (36, 20), "medium": (86, 12), "large": (108, 14)}

_OPERATIONS = {
    "avg3": "avg_pool_3x3",
    "max3": "max_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
_INPUTS = {"a": 0, "b": 1, "n0": 2, "n1": 3, "n2": 4}  # a, b: the cells before, older one first

# Per percentage removed: (normal cell, reduction cell); two edges for each of the four nodes.
_CELLS = {
    99: (
        "avg3(a) skip(b) dil5(b) skip(n0) avg3(n0) skip(b) skip(n2) skip(n1)",
        "max3(b) sep3(a) max3(b) dil3(n0) skip(a) dil3(n0) max3(b) skip(n2)",
    ),
    95: (
        "sep5(a) skip(b) dil5(b) sep3(n0) dil3(n0) sep3(a) sep3(n0) sep3(a)",
        "sep3(a) avg3(b) sep3(a) sep5(n0) sep5(b) sep5(n0) dil3(b) dil3(n0)",
    ),
    90: (
        "dil3(b) dil5(a) sep5(a) dil5(b) sep5(a) sep3(n1) sep3(n0) dil5(a)",
        "skip(b) skip(a) dil5(b) dil5(n0) dil5(n0) dil5(n1) dil5(n1) skip(a)",
    ),
}
PERCENTAGES = tuple(_CELLS)


def published_genotype(percentage: int, size: str = "small") -> Genotype:
    """Return the network that DASS published for a pruning ratio, with every weight still kept.

    Args:
        percentage: of the weights that the paper removes: 99, 95 or 90.
        size: tiny, small, medium or large.

    Raises:
        ValueError: there is no such ratio or size.
    """
    if percentage not in _CELLS:
        raise ValueError(f"published: percentage must be one of {PERCENTAGES}, got {percentage}")
    if size not in SIZES:
        raise ValueError(f"published: size must be one of {sorted(SIZES)}, got {size!r}")
    channels, cells = SIZES[size]
    normal, reduce = (tuple(_edge(text) for text in cell.split()) for cell in _CELLS[percentage])
    return Genotype(normal=normal, reduce=reduce, channels=channels, cells=cells)


def _edge(text: str) -> Edge:
    operation, _, source = text.removesuffix(")").partition("(")
    return (_OPERATIONS[operation], _INPUTS[source])
