"""Which pattern a layer has by its kernel alone, without any training.

The rule of Gong et al. (arXiv 2111.11581) in the patterns of our library: what has a window is pruned
finely, since its weights at different places say different things; 1x1 convolutions and linear
layers in blocks, which execute faster; depthwise convolutions, and what reads the image, not at all.
"""

from collections.abc import Callable, Sequence

from latency.operator import OperatorSpec, SparsityPattern
from search.space.sparsity import Sparsity


def pattern_rule(options: Sequence[Sparsity]) -> Callable[[OperatorSpec, Sparsity], bool]:
    """Return whether an operator may be an option; all are allowed where those of the rule lack.

    Args:
        options: what a layer can be beside dense.
    """
    known = {option.pattern for option in options}

    def allows(spec: OperatorSpec, option: Sparsity) -> bool:
        windowed = max(spec.kernel_shape) > 1
        wanted = SparsityPattern.UNSTRUCTURED if windowed else SparsityPattern.BLOCK
        return wanted not in known or option.pattern is wanted

    return allows
