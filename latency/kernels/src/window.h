// The window of a depthwise convolution or a pooling: read from a node, checked.
#pragma once

#include <cstdint>

#include "layer.h"
#include "ort_api.h"

namespace edgewright {

// Reads strides, dilations and pads. Throws std::invalid_argument when one is out of range.
Window read_window(const OrtKernelInfo* info, int64_t height, int64_t width);

// Elements from a window's first tap to behind its last one. `axis`: 0 down, 1 across.
uint64_t reach(const Window& window, int axis);

// Size of the output along an axis. Throws std::invalid_argument when the window does not fit.
uint32_t window_output(const Window& window, int axis, uint32_t size);

// How many taps of the window for output `index` lie inside of an image of `size`.
uint32_t taps_inside(const Window& window, int axis, uint32_t size, uint32_t index);

}  // namespace edgewright
