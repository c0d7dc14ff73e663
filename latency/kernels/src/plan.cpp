#include "plan.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "window.h"

namespace edgewright {
namespace {

constexpr size_t kCacheLineFloats = 16;
constexpr size_t kConflictFloats = 256;      // planes this far apart fight for one cache set
constexpr size_t kTileBytes = 256 * 1024;    // of a prepared image that is cut into tiles
// A tile is one row at least: only absurd windows, or rows, make it larger than some megabytes.
constexpr uint64_t kMostPrepared = uint64_t{1} << 26;  // elements
// What preparing costs, in multiplications of one vector; measured on a Zen 4 with AVX-512.
constexpr double kCyclesOfPlane = 60;
constexpr double kCyclesOfVector = 10;
constexpr size_t kItems = 8;                 // pieces of work, at least, so that threads balance

// A prepared image up to this size is one tile: it fits the second cache, with weights and results
// beside it. Where the system does not know that cache, as on many Arm boards, it may be 1 MiB.
size_t whole_bytes() {
  static const size_t bytes = [] {
    constexpr size_t kBeside = 256 * 1024;
    constexpr size_t kMost = 768 * 1024;
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (cache > 0) {
      return std::clamp(static_cast<size_t>(cache), 2 * kBeside, kMost + kBeside) - kBeside;
    }
#endif
    return kMost;
  }();
  return bytes;
}

// Views by phase: taps whose distance is a multiple of the stride share one.
Axis phases(uint32_t taps, uint32_t dilation, uint32_t stride) {
  Axis axis;
  for (uint32_t tap = 0; tap < taps; ++tap) {
    const uint32_t start = tap * dilation % stride;
    const auto found = std::find(axis.starts.begin(), axis.starts.end(), start);
    axis.views.push_back(static_cast<uint32_t>(found - axis.starts.begin()));
    if (found == axis.starts.end()) axis.starts.push_back(start);
    axis.shifts.push_back(tap * dilation / stride);
    axis.max_shift = std::max(axis.max_shift, axis.shifts.back());
  }
  return axis;
}

// One view per tap: rows of the view are as long as those of the output, so that vectors run on
// over the ends of short rows and no lane is lost.
Axis copies(uint32_t taps, uint32_t dilation) {
  Axis axis;
  for (uint32_t tap = 0; tap < taps; ++tap) {
    axis.starts.push_back(tap * dilation);
    axis.views.push_back(tap);
    axis.shifts.push_back(0);
  }
  return axis;
}

// Offsets are 32 bits wide: no tensor of one image may have more elements than that.
constexpr uint64_t kMostElements = std::numeric_limits<uint32_t>::max();

void check_size(uint64_t a, uint64_t b, uint64_t c, uint64_t most = kMostElements) {
  if (a > most / b || a * b > most / c) {
    throw std::invalid_argument("the image is too large: more than " + std::to_string(most) +
                                " elements in it, in its result or with the window's padding");
  }
}

size_t padded_plane(size_t elements) {
  const size_t lines = (elements + kCacheLineFloats - 1) / kCacheLineFloats;
  const size_t plane = lines * kCacheLineFloats;
  return plane % kConflictFloats == 0 ? plane + kCacheLineFloats : plane;
}

// How the rows of a prepared plane lie, and how vectors cover them.
enum class Rows {
  kJoined,    // they follow each other without padding, so vectors run on over their ends
  kSeparate,  // vectors of each row for itself: nothing is lost where rows are whole vectors
  kGaps,      // vectors run on over the padding between rows too, and drop it
};

struct Layout {
  Rows rows;
  Axis x;
  uint32_t row_stride;
};

// Zeros at the end of each row that may as well be those at the beginning of the next.
uint32_t shared_padding(const Window& window, const Axis& axis, uint32_t length, uint32_t image) {
  int64_t shared = axis.max_shift;
  for (const uint32_t start : axis.starts) {
    const int64_t origin = int64_t{start} - window.padding[1];
    const Inside inside = inside_of(origin, window.stride[1], length, image);
    shared = std::min({shared, inside.first, length - inside.end});
  }
  return static_cast<uint32_t>(shared);
}

// Gaps waste lanes; joined rows need a copy of the image for each tap of a row, which pays only
// while the copies fit the second cache.
bool joined_is_cheaper(const Layer& layer, const InstructionSet& set, const Plan& plan,
                       const Layout& gaps) {
  const Window& window = layer.window;
  const size_t pixels = size_t{plan.out_height} * plan.out_width;
  const size_t elements = size_t{plan.out_height - 1} * gaps.row_stride + plan.out_width;
  const double vectors = vectors_of_run(layer, set, pixels);
  const double wasted = (elements + set.lanes - 1) / set.lanes - vectors;
  const size_t planes = size_t{layer.in_channels} * plan.y.starts.size();
  const size_t views = window.size[1];
  const size_t rows = size_t{plan.out_height} + plan.y.max_shift;
  const double copied = static_cast<double>(planes * views) * static_cast<double>(rows);
  const size_t most = whole_bytes() / sizeof(float);
  if (copied * plan.out_width > static_cast<double>(most)) return false;
  const auto extra = static_cast<double>(planes * (views - gaps.x.starts.size()));
  const auto products = static_cast<double>(layer.rows * layer.taps.size());
  return wasted * products > extra * (kCyclesOfPlane + kCyclesOfVector * vectors);
}

Layout layout_for(const Layer& layer, const InstructionSet& set, const Plan& plan) {
  const Window& window = layer.window;
  const Layout joined{Rows::kJoined, copies(window.size[1], window.dilation[1]), plan.out_width};
  Axis axis = phases(window.size[1], window.dilation[1], window.stride[1]);
  const bool whole = plan.out_width % set.lanes == 0;
  // Vectors of positions start anywhere in a row, so they stay in it only where rows are whole.
  if (axis.max_shift == 0 || (layer.positions && !whole)) return joined;
  const uint32_t length = plan.out_width + axis.max_shift;
  const uint32_t shared = shared_padding(window, axis, length, plan.width);
  const Layout gaps{whole ? Rows::kSeparate : Rows::kGaps, std::move(axis), length - shared};
  if (!whole && joined_is_cheaper(layer, set, plan, gaps)) return joined;
  return gaps;
}

// Rows of a tile: the whole image when that fits the second cache.
size_t rows_of_tile(const Layer& layer, const Plan& plan) {
  const size_t row_bytes = sizeof(float) * plan.row_stride * layer.in_channels *
                           plan.y.starts.size() * plan.x.starts.size();
  const size_t rows = plan.out_height;
  if (rows + plan.y.max_shift <= whole_bytes() / row_bytes) return rows;
  const size_t fitting = kTileBytes / row_bytes;
  size_t wanted = fitting > plan.y.max_shift ? fitting - plan.y.max_shift : 1;
  if (layer.positions) {  // tiles begin with a run
    const size_t whole_runs = kRunPixels / std::gcd<size_t>(kRunPixels, plan.out_width);
    wanted = (wanted + whole_runs - 1) / whole_runs * whole_runs;
    return std::min(wanted, rows);
  }
  const size_t tiles = (rows + wanted - 1) / wanted;
  return (rows + tiles - 1) / tiles;
}

std::optional<Panels> panels_of_rows(const Layer& layer, const InstructionSet& set,
                                     const Plan& plan, Rows kind, size_t rows) {
  const Run run{plan.out_width, rows, plan.row_stride};
  if (kind == Rows::kGaps) return make_panels_with_gaps(layer, set, run);
  if (kind == Rows::kSeparate) return make_panels(layer, set, run);
  return make_panels(layer, set, Run{rows * plan.out_width, 1, 0});
}

std::vector<Panels> panels_of_positions(const Layer& layer, const InstructionSet& set,
                                        const Plan& plan) {
  const std::vector<uint32_t>& runs = layer.positions->runs;
  const size_t pixels = size_t{plan.out_height} * plan.out_width;
  const size_t total = (pixels + kRunPixels - 1) / kRunPixels;
  if (!runs.empty() && runs.back() >= total) {
    throw std::invalid_argument("positions must be below " + std::to_string(total) +
                                " for this image, got " + std::to_string(runs.back()));
  }
  std::vector<Panels> tiles;
  auto next = runs.begin();
  const size_t tile_pixels = size_t{plan.tile_rows} * plan.out_width;
  for (size_t begin = 0; begin < pixels; begin += tile_pixels) {
    const size_t end = std::min(begin + tile_pixels, pixels);
    std::vector<size_t> inside;
    for (; next != runs.end() && *next * size_t{kRunPixels} < end; ++next) {
      inside.push_back(*next - begin / kRunPixels);
    }
    tiles.push_back(make_panels_of_positions(
        layer, set, inside, {plan.out_width, (end - begin) / plan.out_width, plan.row_stride}));
  }
  return tiles;
}

// Sets the tiles and the size of a plane; false when this way does not fit so few pixels.
bool lay_out_tiles(const Layer& layer, const InstructionSet& set, Layout layout, Plan& plan) {
  plan.x = std::move(layout.x);
  plan.row_stride = layout.row_stride;
  const size_t rows = rows_of_tile(layer, plan);
  plan.tile_rows = static_cast<uint32_t>(rows);
  plan.num_tiles = static_cast<uint32_t>((plan.out_height + rows - 1) / rows);
  // The padding at the end of the last row may be shared with a row that does not exist, and
  // vectors that run on over gaps may read past that, by less than one of them.
  const size_t slack = plan.x.max_shift + (layout.rows == Rows::kGaps ? set.lanes : 0);
  plan.plane = padded_plane((rows + plan.y.max_shift) * plan.row_stride + slack);
  check_size(plan.y.starts.size() * plan.x.starts.size(), layer.in_channels, plan.plane,
             kMostPrepared);
  if (layer.positions) {
    plan.tiles = panels_of_positions(layer, set, plan);
    return true;
  }
  const size_t last_rows = plan.out_height - (plan.num_tiles - 1) * rows;
  auto full = panels_of_rows(layer, set, plan, layout.rows, rows);
  auto last = panels_of_rows(layer, set, plan, layout.rows, last_rows);
  if (!full || !last) return false;
  plan.tiles.clear();
  if (plan.num_tiles > 1) plan.tiles.push_back(std::move(*full));
  plan.tiles.push_back(std::move(*last));
  return true;
}

void lay_out(const Layer& layer, const InstructionSet& set, Plan& plan) {
  const Window& window = layer.window;
  plan.y = phases(window.size[0], window.dilation[0], window.stride[0]);
  if (lay_out_tiles(layer, set, layout_for(layer, set, plan), plan)) return;
  const Layout joined{Rows::kJoined, copies(window.size[1], window.dilation[1]), plan.out_width};
  lay_out_tiles(layer, set, joined, plan);
}

void lay_out_direct(const Layer& layer, const InstructionSet& set, Plan& plan) {
  plan.y = plan.x = copies(1, 1);
  plan.plane = size_t{plan.height} * plan.width;
  plan.row_stride = plan.width;
  plan.tile_rows = plan.out_height;
  plan.num_tiles = 1;
  plan.tiles = layer.positions
                   ? panels_of_positions(layer, set, plan)
                   : std::vector<Panels>{make_panels(layer, set, Run{plan.plane, 1, 0})};
}

std::vector<uint32_t> tap_offsets(const Layer& layer, const Plan& plan) {
  std::vector<uint32_t> offsets;
  offsets.reserve(layer.taps.size());
  for (const Tap& tap : layer.taps) {
    const size_t view = plan.y.views[tap.y] * plan.x.starts.size() + plan.x.views[tap.x];
    const size_t start = (view * layer.in_channels + tap.channel) * plan.plane;
    const size_t inside = size_t{plan.y.shifts[tap.y]} * plan.row_stride + plan.x.shifts[tap.x];
    offsets.push_back(static_cast<uint32_t>(start + inside));
  }
  return offsets;
}

int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

}  // namespace

Inside inside_of(int64_t origin, int64_t stride, int64_t length, int64_t image) {
  const int64_t first = std::min(ceil_div(-origin, stride), length);
  return {first, std::max(first, std::min(ceil_div(image - origin, stride), length))};
}

Plan make_plan(const Layer& layer, const InstructionSet& set, uint32_t height, uint32_t width) {
  const Window& window = layer.window;
  Plan plan{};
  plan.height = height;
  plan.width = width;
  plan.out_height = window_output(window, 0, height);
  plan.out_width = window_output(window, 1, width);
  plan.direct = layer.is_direct();
  check_size(layer.out_channels, plan.out_height, plan.out_width);
  check_size(layer.in_channels, height, width);
  if (plan.direct) {
    lay_out_direct(layer, set, plan);
  } else {
    lay_out(layer, set, plan);
  }
  plan.offsets = tap_offsets(layer, plan);
  const size_t groups = std::max<size_t>(1, plan.tiles.front().groups.size());
  const size_t parts = std::min((kItems + groups - 1) / groups, layer.blocks.size());
  plan.parts = split_blocks(layer, parts);
  return plan;
}

}  // namespace edgewright
