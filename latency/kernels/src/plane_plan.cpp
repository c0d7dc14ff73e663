#include "plane_plan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace edgewright {
namespace {

constexpr uint64_t kLine = 16;  // floats; whole vectors of every instruction set
constexpr size_t kSmallPlane = 4096;  // elements: half of a first cache
constexpr uint64_t kMaxElements = std::numeric_limits<uint32_t>::max();

uint64_t round_up(uint64_t count) { return (count + kLine - 1) / kLine * kLine; }

// Where column `remainder` of the image is in its view.
uint64_t first_column(const Window& window, uint32_t remainder) {
  return (uint64_t{remainder} + window.padding[1]) / window.stride[1];
}

// Rows that blocks read, those that do not count included.
uint64_t rows_read(const Window& window, const RowBlocks& rows) {
  uint64_t last = 0;
  for (const RowBlock& block : rows.blocks) {
    last = std::max(last, block.first + uint64_t{rows.rows - 1} * rows.step);
  }
  return last * window.stride[0] + reach(window, 0);
}

void plan_views(const Window& window, const ImageSize& size, PlanePlan& plan) {
  const uint32_t stride = window.stride[1];
  const uint64_t rows =
      std::max(rows_read(window, plan.all.rows), rows_read(window, plan.listed.rows));
  uint64_t columns = size.out_width + (reach(window, 1) - 1) / stride;
  for (uint32_t i = 0; i < stride && i < size.width; ++i) {
    columns = std::max(columns, first_column(window, i) + (size.width - i + stride - 1) / stride);
  }
  plan.pitch = round_up(columns);
  const uint64_t views = std::min(stride, window.size[1]);
  if (rows + 4 > kMaxElements / plan.pitch / views) {
    throw std::invalid_argument("the image is too large");
  }
  plan.targets.assign(stride, kNoTarget);
  for (uint32_t x = 0; x < window.size[1]; ++x) {
    const uint64_t place = uint64_t{x} * window.dilation[1];
    // The remainder of the columns of the image that this column of the window meets.
    const auto remainder =
        static_cast<uint32_t>((place + uint64_t{window.padding[1]} * (stride - 1)) % stride);
    const uint64_t first = first_column(window, remainder);
    if (plan.targets[remainder] == kNoTarget) {
      const uint64_t target = plan.size + round_up(first) + window.padding[0] * plan.pitch;
      const uint64_t end = plan.size + round_up(first) + rows * plan.pitch + kLine;
      plan.targets[remainder] = target;
      plan.views.push_back({plan.size, target, end});
      plan.size = end;
    }
    const uint64_t start = plan.targets[remainder] - window.padding[0] * plan.pitch - first;
    plan.columns.push_back(static_cast<uint32_t>(start + place / stride));
  }
}

void add_masks(const WindowSet& set, uint32_t width, uint32_t stride, PlanePlan& plan) {
  plan.filled = width / stride;
  if (stride > 2) return;
  const uint32_t vector = set.lanes * stride;
  plan.filled = width == set.lanes / 2 && stride == 1
                    ? width
                    : (width + vector - 1) / vector * set.lanes;
  for (uint32_t remainder = 0; remainder < stride; ++remainder) {
    for (uint32_t lane = 0; lane < set.lanes; ++lane) {
      plan.masks.push_back(lane * stride + remainder < width % vector ? -1 : 0);
    }
  }
}

// `key` misses the number of lanes.
void add_strips(const WindowSet& set, uint32_t out_width, PlaneKey key, PlaneLoop& loop) {
  for (const auto [column, lanes] : cut_columns(out_width, set.lanes)) {
    key.lanes = lanes;
    const uint32_t width = std::min(lanes, out_width);
    const PlaneFunction run = set.find_plane(key);
    if (run == nullptr) throw std::logic_error("no kernel for this strip");
    loop.strips.push_back({{column, column, width, width < lanes ? lanes : 0, nullptr, nullptr},
                           run});
  }
}

// A small plane is prepared at once.
void add_needed_rows(const Window& window, uint32_t height, bool small, PlaneLoop& loop) {
  const uint64_t top = window.padding[0];
  for (const RowBlock& block : loop.rows.blocks) {
    const uint64_t last = block.first + uint64_t{block.count - 1} * loop.rows.step;
    const uint64_t end = last * window.stride[0] + reach(window, 0);
    const uint64_t inside = end > top ? end - top : 0;
    loop.needed.push_back(static_cast<uint32_t>(std::min<uint64_t>(inside, height)));
  }
  const uint32_t most = *std::max_element(loop.needed.begin(), loop.needed.end());
  if (small) std::fill(loop.needed.begin(), loop.needed.end(), most);
}

const RowChoices& row_choices(const Window& window, const WindowSet& set, const RowSteps& steps) {
  if (window.size[0] > 3) return kLargeRows;
  return set.has_many_rows && steps.stride == 1 ? kManyRows : kPlaneRows;
}

}  // namespace

bool has_loop(const Window& window) {
  const uint32_t size = window.size[0];
  RowSteps steps{};
  return size == window.size[1] && (size == 3 || size == 5) && find_steps(window, steps);
}

PlanePlan make_plane_plan(const Window& window, const WindowSet& set, const ImageSize& size,
                          const std::vector<uint32_t>& listed) {
  PlanePlan plan{};
  RowSteps steps{};
  if (has_loop(window)) {
    find_steps(window, steps);
    plan.all.rows = cut_rows(size.out_height, steps.output, row_choices(window, set, steps));
  }
  plan.listed.rows = cut_rows(size.out_height, 1, kListedRows);
  plan_views(window, size, plan);
  add_masks(set, size.width, window.stride[1], plan);
  if (has_loop(window)) {
    plan.all.step = steps.input * plan.pitch;
    add_strips(set, size.out_width, {0, window.size[0], steps.stride, plan.all.rows.rows},
               plan.all);
    add_needed_rows(window, size.height, plan.size <= kSmallPlane, plan.all);
  }
  plan.listed.step = window.stride[0] * plan.pitch;
  add_strips(set, size.out_width, {0, 0, 1, plan.listed.rows.rows}, plan.listed);
  add_needed_rows(window, size.height, plan.size <= kSmallPlane, plan.listed);
  for (const uint32_t needed : plan.listed.needed) {
    plan.image_rows = std::max(plan.image_rows, needed);
  }
  const uint32_t height = window.size[0];
  for (const uint32_t tap : listed) {
    plan.taps.push_back(static_cast<uint32_t>(
        plan.columns[tap / height] + tap % height * window.dilation[0] * plan.pitch));
  }
  return plan;
}

}  // namespace edgewright
