"""Windows of convolutions and pools: padding made explicit, rectangles as cut squares."""

from dataclasses import dataclass

from latency.lowering.reading.model_node import ModelNode

Pads = tuple[int, int, int, int]  # top, left, bottom, right


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window as an OperatorSpec says it."""

    kernel: int
    padding: int
    cut: Pads
    stride: int
    dilation: int


def read_window(node: ModelNode, kernel: tuple[int, int], size: tuple[int, int]) -> Window:
    """Return the window of a node.

    A rectangle, or padding that differs between sides, is a part of a larger square kernel.

    Args:
        node: a convolution or pool.
        kernel: height and width.
        size: of the image, without padding.

    Raises:
        ValueError: strides or dilations differ between directions, or there is no such square.
    """
    stride, dilation = node.same("strides"), node.same("dilations")
    pads = _pads(node, kernel, size)
    padding = max(pads)
    lost = [padding - pad for pad in pads]
    top, left, bottom, right = (each // dilation for each in lost)
    height, width = kernel[0] + top + bottom, kernel[1] + left + right
    if height != width or any(each % dilation for each in lost):
        raise ValueError(
            f"a kernel of {list(kernel)} with pads {list(pads)} is no part of a square one: "
            "height + pads and width + pads must change the image by as much"
        )
    return Window(
        kernel=height,
        padding=padding,
        cut=(top, left, bottom, right),
        stride=stride,
        dilation=dilation,
    )


def check_rounding(node: ModelNode, window: Window, size: tuple[int, int]) -> None:
    """Check that ceil_mode changes nothing; ValueError where it adds a window."""
    reach = window.dilation * (window.kernel - 1) + 1
    left_over = [(each + 2 * window.padding - reach) % window.stride for each in size]
    if node.attributes.get("ceil_mode", 0) and any(left_over):
        raise ValueError("ceil_mode must be 0 where windows do not fill the image")


def _pads(node: ModelNode, kernel: tuple[int, int], size: tuple[int, int]) -> Pads:
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = [int(value) for value in node.attributes.get("pads") or (0, 0, 0, 0)]
        if len(pads) != 4 or min(pads) < 0:
            raise ValueError(f"pads must be four numbers from 0, got {pads}")
        top, left, bottom, right = pads
        return (top, left, bottom, right)
    if mode == "VALID":
        return (0, 0, 0, 0)
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER, got {mode!r}")
    (top, bottom), (left, right) = (
        _same(mode, kernel[axis], size[axis], node) for axis in range(2)
    )
    return (top, left, bottom, right)


def _same(mode: str, kernel: int, size: int, node: ModelNode) -> tuple[int, int]:
    """Return the padding before and behind that makes the output ceil(size / stride)."""
    stride, reach = node.same("strides"), node.same("dilations") * (kernel - 1) + 1
    total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    less, more = total // 2, total - total // 2
    return (less, more) if mode == "SAME_UPPER" else (more, less)
