#include "window_plan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace edgewright {
namespace {

constexpr double kChannelShare = 0.125;  // as kListedShare, with images of 8x8; none below
constexpr uint64_t kMaxChannelSide = 64;  // of an image whose channels are lanes, with its padding
constexpr uint64_t kMaxElements = std::numeric_limits<uint32_t>::max();

float neutral_value(WindowOp op) {
  return op == WindowOp::kMaximum ? -std::numeric_limits<float>::infinity() : 0.0f;
}

std::vector<float> scales(const Window& window, int axis, uint32_t size, uint32_t out_size) {
  std::vector<float> scale(out_size);
  for (uint32_t i = 0; i < out_size; ++i) {
    const uint32_t taps = taps_inside(window, axis, size, i);
    if (taps == 0) {
      throw std::invalid_argument("a window lies wholly in the padding of an image of " +
                                  std::to_string(size) + " pixels");
    }
    scale[i] = 1.0f / static_cast<float>(taps);
  }
  return scale;
}

// 3x3 without dilation. The input of a convolution is better prepared where it is clamped or where
// rows are so short that every strip would be masked.
bool reads_in_place(const WindowTask& task, const WindowSet& set, uint32_t out_width) {
  const Window& window = task.window;
  using Pair = std::array<uint32_t, 2>;
  if (window.size != Pair{3, 3} || window.dilation != Pair{1, 1}) return false;
  if (window.stride != Pair{1, 1} && window.stride != Pair{2, 2}) return false;
  if (task.op != WindowOp::kConvolve) return true;
  return !task.clamps_input && task.kept > kListedShare &&
         out_width * window.stride[1] > 2 * set.lanes;
}

// Writes the masks of a strip; returns whether one of them cuts off a lane that counts.
bool add_masks(const Window& window, const Piece& piece, WindowPlan& plan) {
  bool cuts = false;
  for (uint32_t tap = 0; tap < window.size[1]; ++tap) {
    for (uint32_t lane = 0; lane < piece.lanes; ++lane) {
      const int64_t x = int64_t{piece.column + lane} * window.stride[1] +
                        int64_t{tap} * window.dilation[1] - window.padding[1];
      const bool inside = x >= 0 && x < plan.width;
      plan.masks.push_back(inside ? -1 : 0);
      cuts |= !inside && piece.column + lane < plan.out_width;
    }
  }
  return cuts;
}

void add_strips(const WindowTask& task, const WindowSet& set, WindowPlan& plan) {
  const Window& window = task.window;
  const std::vector<Piece> pieces = cut_columns(plan.out_width, set.lanes);
  std::vector<size_t> starts;
  std::vector<bool> masked;
  for (const Piece& piece : pieces) {
    starts.push_back(plan.masks.size());
    masked.push_back(add_masks(window, piece, plan));
  }
  uint64_t end = 0;  // behind the last element of a row that is read, in the padded input
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto [column, lanes] = pieces[i];
    const uint32_t input = column * window.stride[1];
    const BlockFunction run =
        set.find_block({task.op, lanes, window.stride[0], plan.rows.rows, masked[i]});
    if (run == nullptr) throw std::logic_error("no kernel for this strip");
    const uint32_t lanes_used = std::min(lanes, plan.out_width);
    plan.strips.push_back({{column, input, lanes_used, lanes_used < lanes ? lanes : 0,
                            plan.masks.data() + starts[i], plan.column_scale.data() + column},
                           run});
    end = std::max(end, input + reach(window, 1) - 1 + uint64_t{lanes} * window.stride[1]);
  }
  plan.before = window.padding[1];
  const uint64_t inside = uint64_t{plan.before} + plan.width;
  plan.after = end > inside ? end - inside : 0;
}

void plan_blocks(const WindowTask& task, const WindowSet& set, WindowPlan& plan) {
  plan.rows = cut_rows(plan.out_height, 1, kBlockRows);
  plan.input_rows = (plan.rows.rows - 1) * task.window.stride[0] + task.window.size[0];
  add_strips(task, set, plan);
  plan.neutral.assign(plan.before + plan.width + plan.after, neutral_value(task.op));
}

void plan_views(const WindowTask& task, const WindowSet& set, WindowPlan& plan) {
  const Window& window = task.window;
  const auto [kernel_height, kernel_width] = window.size;
  const uint64_t last_shift = (reach(window, 1) - 1) / window.stride[1];
  const uint64_t columns = plan.out_width + last_shift;
  const uint64_t rows = uint64_t{plan.out_height - 1} * window.stride[0] + reach(window, 0);
  const uint64_t views = std::min(window.stride[1], kernel_width);
  if (rows > kMaxElements / columns || rows * columns + set.lanes > kMaxElements / views) {
    throw std::invalid_argument("the image is too large");
  }
  plan.view_columns = static_cast<uint32_t>(columns);
  plan.view_rows = static_cast<uint32_t>(rows);
  for (uint32_t x = 0; x < kernel_width; ++x) {
    const uint64_t place = uint64_t{x} * window.dilation[1];
    const auto start = static_cast<uint32_t>(place % window.stride[1]);
    auto view = std::find_if(plan.views.begin(), plan.views.end(),
                             [&](const PlannedView& known) { return known.start == start; });
    if (view == plan.views.end()) {
      view = plan.views.insert(view, {start, plan.views.size() * rows * columns});
    }
    const uint64_t shift = view->offset + place / window.stride[1];
    for (uint32_t y = 0; y < kernel_height; ++y) {
      plan.offsets.push_back(
          static_cast<uint32_t>(shift + uint64_t{y} * window.dilation[0] * columns));
    }
  }
}

ChannelRow channel_row(const Window& window, const WindowPlan& plan, uint32_t row) {
  const int64_t top = int64_t{row} * window.stride[0] - window.padding[0];
  ChannelRow result{};
  for (uint32_t tap = 0; tap < window.size[0]; ++tap) {
    const int64_t y = top + int64_t{tap} * window.dilation[0];
    if (y < 0 || y >= plan.height) continue;
    if (result.window_rows++ == 0) {
      result.window_row = tap;
      result.input = static_cast<uint32_t>(y * plan.prepared_row);
    }
  }
  return result;
}

// Returns whether there is such a way.
bool plan_channels(const WindowTask& task, const WindowSet& set, WindowPlan& plan) {
  const Window& window = task.window;
  if (task.op != WindowOp::kConvolve || task.channels < set.lanes) return false;
  // Channels that are lanes have to share their taps.
  if (task.kept <= kChannelShare && plan.out_width > set.lanes / 4) return false;
  const uint64_t columns = uint64_t{plan.width} + window.padding[1] + window.padding[3];
  if (columns > kMaxChannelSide || plan.height > kMaxChannelSide ||
      plan.out_height > kMaxChannelSide) {
    return false;
  }
  plan.run_channels = set.find_channels(plan.out_width, window.stride[1]);
  if (plan.run_channels == nullptr) return false;
  plan.prepared_row = columns * set.lanes;
  plan.prepared_size = plan.height * plan.prepared_row;
  for (uint32_t y = 0; y < plan.height; ++y) {
    for (uint32_t x = 0; x < plan.width; ++x) {
      plan.places.push_back(static_cast<uint32_t>(
          y * plan.prepared_row + (size_t{window.padding[1]} + x) * set.lanes));
    }
  }
  for (uint32_t y = 0; y < plan.out_height; ++y) {
    plan.channel_rows.push_back(channel_row(window, plan, y));
  }
  return true;
}

}  // namespace

size_t WindowPlan::scratch_size() const {
  if (way == WindowWay::kInPlace) return before + plane() + after;
  return views.size() * view_rows * view_columns + column_scale.size();
}

WindowPlan make_window_plan(const WindowTask& task, const WindowSet& set, uint32_t height,
                            uint32_t width) {
  const Window& window = task.window;
  WindowPlan plan{};
  plan.height = height;
  plan.width = width;
  plan.out_height = window_output(window, 0, height);
  plan.out_width = window_output(window, 1, width);
  if (task.op != WindowOp::kConvolve) {
    plan.row_scale = scales(window, 0, height, plan.out_height);
    plan.column_scale = scales(window, 1, width, plan.out_width);
  }
  // Blocks and vectors compute more than there is; it is not stored.
  plan.row_scale.resize(size_t{plan.out_height} + kMaxBlockRows, 0.0f);
  plan.column_scale.resize(size_t{plan.out_width} + set.lanes, 0.0f);
  if (plan_channels(task, set, plan)) {
    plan.way = WindowWay::kChannels;
  } else if (reads_in_place(task, set, plan.out_width)) {
    plan.way = WindowWay::kInPlace;
    plan_blocks(task, set, plan);
  } else if (task.op == WindowOp::kConvolve) {
    plan.way = WindowWay::kPrepared;
    plan.prepared = make_plane_plan(
        window, set, {height, width, plan.out_height, plan.out_width}, task.listed);
  } else {
    plan.way = WindowWay::kAnyPool;
    plan_views(task, set, plan);
  }
  return plan;
}

}  // namespace edgewright
