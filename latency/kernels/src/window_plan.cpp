#include "window_plan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace edgewright {
namespace {

constexpr uint32_t kBlockRows[] = {8, 7, 4, 2};
constexpr size_t kRowsOfOverhead = 1;  // what a block costs besides its rows
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

// The fast loop steps through rows of the input that are `step` apart; the rows of the window
// then are neighbours among them, and so are the rows of the block, or every second one.
struct RowSteps {
  uint32_t input;   // rows of the input
  uint32_t output;  // rows of the output
  uint32_t stride;  // steps from one row of the block to the next
};

bool find_steps(const Window& window, RowSteps& steps) {
  const uint32_t stride = window.stride[0];
  const uint32_t dilation = window.dilation[0];
  if (dilation % stride == 0) {
    steps = {dilation, dilation / stride, 1};
    return true;
  }
  steps = {1, 1, stride};
  return dilation == 1;
}

bool is_fast(const WindowTask& task, RowSteps& steps) {
  const Window& window = task.window;
  const bool square = window.size[0] == window.size[1] && window.stride[0] == window.stride[1] &&
                      window.dilation[0] == window.dilation[1];
  const bool pools = task.op != WindowOp::kConvolve;
  if (!square || window.stride[0] > 2 || (pools && window.dilation[0] > 1)) return false;
  if (pools ? window.size[0] != 3 : window.size[0] != 3 && window.size[0] != 5) return false;
  return find_steps(window, steps);
}

// The number of rows of a block with which `rows` rows cost least.
uint32_t choose_rows(uint32_t rows) {
  uint32_t best = kBlockRows[0];
  size_t least = std::numeric_limits<size_t>::max();
  for (const uint32_t candidate : kBlockRows) {
    const size_t blocks = (rows + candidate - 1) / candidate;
    const size_t cost = blocks * (candidate + kRowsOfOverhead);
    if (cost < least) {
      least = cost;
      best = candidate;
    }
  }
  return best;
}

// Rows of one residue are computed block by block; the last block overlaps the one before.
void add_blocks(WindowPlan& plan, uint32_t residue, uint32_t block_rows) {
  const uint32_t step = plan.row_step;
  const uint32_t rows = (plan.out_height - residue + step - 1) / step;
  for (uint32_t row = 0; row < rows; row += block_rows) {
    const uint32_t first = rows < block_rows ? 0 : std::min(row, rows - block_rows);
    plan.blocks.push_back({residue + first * step, std::min(rows, block_rows)});
  }
}

struct Piece {
  uint32_t column;
  uint32_t lanes;
};

// Strips that cover the columns; the last one overlaps its neighbour.
std::vector<Piece> cut_columns(uint32_t columns, uint32_t lanes) {
  while (lanes > 4 && columns <= lanes / 2) lanes /= 2;
  if (columns <= lanes) return {{0, lanes}};
  std::vector<Piece> pieces;
  uint32_t column = 0;
  for (; column + lanes <= columns; column += lanes) pieces.push_back({column, lanes});
  if (column < columns) {
    while (lanes > 4 && columns - column <= lanes / 2) lanes /= 2;
    pieces.push_back({columns - lanes, lanes});
  }
  return pieces;
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

void add_strips(const WindowTask& task, const WindowSet& set, const RowSteps& steps,
                uint32_t block_rows, WindowPlan& plan) {
  const Window& window = task.window;
  const std::vector<Piece> pieces = cut_columns(plan.out_width, set.lanes);
  std::vector<size_t> starts;
  std::vector<bool> general;
  for (const Piece& piece : pieces) {
    starts.push_back(plan.masks.size());
    general.push_back(add_masks(window, piece, plan) || task.clamps_input);
  }
  uint64_t end = 0;  // behind the last element of a row that is read, in the padded input
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto [column, lanes] = pieces[i];
    const uint32_t input = column * window.stride[1];
    const BlockFunction run = set.find({task.op, lanes, window.size[0], steps.stride,
                                        window.stride[1], block_rows, general[i]});
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

void plan_blocks(const WindowTask& task, const WindowSet& set, const RowSteps& steps,
                 WindowPlan& plan) {
  plan.row_step = steps.output;
  plan.input_step = steps.input;
  const uint32_t residues = std::min(steps.output, plan.out_height);
  const uint32_t block_rows = choose_rows((plan.out_height + residues - 1) / residues);
  plan.input_rows = (block_rows - 1) * steps.stride + task.window.size[0];
  for (uint32_t residue = 0; residue < residues; ++residue) add_blocks(plan, residue, block_rows);
  add_strips(task, set, steps, block_rows, plan);
  plan.exact = steps.output > 1;
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
    plan.rows.push_back(channel_row(window, plan, y));
  }
  return true;
}

}  // namespace

size_t WindowPlan::scratch_size() const {
  if (fast) return before + plane() + after;
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
  if (plan_channels(task, set, plan)) return plan;
  RowSteps steps{};
  plan.fast = is_fast(task, steps);
  if (plan.fast) {
    plan_blocks(task, set, steps, plan);
  } else {
    plan_views(task, set, plan);
  }
  return plan;
}

}  // namespace edgewright
