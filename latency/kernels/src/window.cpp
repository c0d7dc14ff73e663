#include "window.h"

#include <stdexcept>

#include "ranges.h"

namespace edgewright {
namespace {

template <size_t Count>
std::array<uint32_t, Count> read(const OrtKernelInfo* info, const char* name, int64_t lowest) {
  return all_in_range<Count>(attribute(info, name, Count), lowest, name);
}

}  // namespace

Window read_window(const OrtKernelInfo* info, int64_t height, int64_t width) {
  Window window{};
  window.size = {in_range(height, 1, "the window's height"), in_range(width, 1, "its width")};
  window.stride = read<2>(info, "strides", 1);
  window.dilation = read<2>(info, "dilations", 1);
  window.padding = read<4>(info, "pads", 0);
  return window;
}

uint64_t reach(const Window& window, int axis) {
  return uint64_t{window.dilation[axis]} * (window.size[axis] - 1) + 1;
}

uint32_t window_output(const Window& window, int axis, uint32_t size) {
  const uint64_t padded = uint64_t{size} + window.padding[axis] + window.padding[axis + 2];
  if (padded < reach(window, axis)) {
    throw std::invalid_argument("the window is larger than the padded input");
  }
  return static_cast<uint32_t>((padded - reach(window, axis)) / window.stride[axis] + 1);
}

uint32_t taps_inside(const Window& window, int axis, uint32_t size, uint32_t index) {
  uint32_t count = 0;
  int64_t place = int64_t{index} * window.stride[axis] - window.padding[axis];
  for (uint32_t tap = 0; tap < window.size[axis]; ++tap, place += window.dilation[axis]) {
    count += place >= 0 && place < size ? 1 : 0;
  }
  return count;
}

}  // namespace edgewright
