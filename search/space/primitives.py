"""The candidate operations of a cell edge, in the order of the architecture parameters.

The eight of DARTS (arXiv 1806.09055, section 3.1.1), which DASS keeps: there every convolution and
linear layer of the network is parametrically sparse instead of there being extra candidates.
"""

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
