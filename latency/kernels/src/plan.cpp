#include "plan.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace edgewright {
namespace {

constexpr size_t kCacheLineFloats = 16;
constexpr size_t kConflictFloats = 256;      // planes this far apart fight for one cache set
constexpr size_t kGroupBytes = 64 * 1024;    // input that a group of panels may read
constexpr size_t kWholeBytes = 768 * 1024;   // a prepared image up to this size is one tile
constexpr size_t kTileBytes = 256 * 1024;    // ... and larger ones are cut into tiles of this
constexpr size_t kItems = 8;                 // pieces of work, at least, so that threads balance

uint32_t out_size(const Layer& layer, int axis, uint64_t size) {
  const Window& window = layer.window;
  const uint64_t padded = size + window.padding[axis] + window.padding[axis + 2];
  const uint64_t reach = uint64_t{window.dilation[axis]} * (window.size[axis] - 1) + 1;
  if (padded < reach) throw std::invalid_argument("the window is larger than the padded input");
  return static_cast<uint32_t>((padded - reach) / window.stride[axis] + 1);
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

uint32_t lanes_for(const InstructionSet& set, size_t pixels) {
  if (pixels >= set.lanes) return set.lanes;
  return pixels >= 4 ? 4 : 1;
}

// Rows are worth vectors of their own when few lanes are lost at their ends.
bool rows_are_wide(const InstructionSet& set, uint32_t width) {
  const uint32_t vectors = (width + set.lanes - 1) / set.lanes;
  return width >= set.lanes && width * 8 >= vectors * set.lanes * 7;
}

struct Run {
  size_t length;         // output pixels whose inputs are neighbours
  size_t count;          // runs of a tile
  size_t input_stride;   // elements from one run to the next in a prepared plane
};

struct Place {
  size_t input;
  size_t output;
};

// Vectors that cover the runs; the last one of a run overlaps its neighbour instead of reading
// or writing past the end.
std::vector<Place> cover(const Run& run, uint32_t lanes) {
  std::vector<Place> places;
  for (size_t i = 0; i < run.count; ++i) {
    for (size_t start = 0; start < run.length; start += lanes) {
      const size_t inside = std::min(start, run.length - lanes);
      places.push_back({i * run.input_stride + inside, i * run.length + inside});
    }
  }
  return places;
}

Form form_of(const Place* places, size_t count, uint32_t lanes) {
  for (size_t i = 1; i < count; ++i) {
    if (places[i].input != places[0].input + i * lanes) return Form::kScattered;
    if (places[i].output != places[0].output + i * lanes) return Form::kScattered;
  }
  return Form::kFlat;
}

// The form of the last panel when one or four pixels are left over behind whole vectors.
Form tail_form(const Layer& layer, const InstructionSet& set, const Run& run) {
  const bool possible =
      run.count == 1 && run.length > set.lanes && layer.rows > 1 && set.max_vectors_tail > 0;
  const size_t left = run.length % set.lanes;
  if (possible && left == 1) return Form::kFlatPlus1;
  if (possible && left == 4) return Form::kFlatPlus4;
  return Form::kFlat;
}

Panels make_panels(const Layer& layer, const InstructionSet& set, const Run& run) {
  const uint32_t lanes = lanes_for(set, run.length);
  const Form last_form = tail_form(layer, set, run);
  const bool has_tail = last_form != Form::kFlat;
  const std::vector<Place> places =
      cover(has_tail ? Run{run.length / lanes * lanes, 1, 0} : run, lanes);
  const size_t most = layer.rows == 1 ? set.max_vectors_single : set.max_vectors_block;
  size_t num_panels = (places.size() + most - 1) / most;
  // The last panel has the fewest vectors.
  if (has_tail && places.size() / num_panels > set.max_vectors_tail) ++num_panels;
  const size_t vector_bytes =
      size_t{layer.in_channels} * layer.window.size[0] * lanes * sizeof(float);

  Panels result;
  const Place* next = places.data();
  for (size_t i = 0; i < num_panels; ++i) {
    const size_t vectors = places.size() / num_panels + (i < places.size() % num_panels ? 1 : 0);
    const bool last = i + 1 == num_panels;
    const Form form = last && has_tail ? last_form : form_of(next, vectors, lanes);
    const KernelFunction kernel =
        set.find(lanes, layer.rows, static_cast<uint32_t>(vectors), form);
    if (kernel == nullptr) throw std::logic_error("no kernel for this panel");
    Panel panel{};
    for (size_t v = 0; v < vectors; ++v, ++next) {
      panel.input[v] = static_cast<uint32_t>(next->input);
      panel.output[v] = static_cast<uint32_t>(next->output);
    }
    result.panels.push_back(panel);
    const size_t limit = std::max<size_t>(1, kGroupBytes / (vectors * vector_bytes));
    if (result.groups.empty() || result.groups.back().kernel != kernel ||
        result.groups.back().count >= limit) {
      result.groups.push_back({kernel, i, 0});
    }
    ++result.groups.back().count;
  }
  return result;
}

size_t padded_plane(size_t elements) {
  const size_t lines = (elements + kCacheLineFloats - 1) / kCacheLineFloats;
  const size_t plane = lines * kCacheLineFloats;
  return plane % kConflictFloats == 0 ? plane + kCacheLineFloats : plane;
}

// Sets the views, the tiles and the size of a plane.
void lay_out(const Layer& layer, const InstructionSet& set, Plan& plan) {
  const Window& window = layer.window;
  const bool wide = rows_are_wide(set, plan.out_width);
  plan.y = phases(window.size[0], window.dilation[0], window.stride[0]);
  plan.x = wide ? phases(window.size[1], window.dilation[1], window.stride[1])
                : copies(window.size[1], window.dilation[1]);
  plan.row_stride = plan.out_width + plan.x.max_shift;
  const size_t row_bytes = sizeof(float) * plan.row_stride * layer.in_channels *
                           plan.y.starts.size() * plan.x.starts.size();
  size_t rows = plan.out_height;
  if ((rows + plan.y.max_shift) * row_bytes > kWholeBytes) {
    const size_t fitting = kTileBytes / row_bytes;
    const size_t wanted = fitting > plan.y.max_shift ? fitting - plan.y.max_shift : 1;
    const size_t tiles = (rows + wanted - 1) / wanted;
    rows = (rows + tiles - 1) / tiles;
  }
  plan.tile_rows = static_cast<uint32_t>(rows);
  plan.num_tiles = static_cast<uint32_t>((plan.out_height + rows - 1) / rows);
  plan.plane = padded_plane((rows + plan.y.max_shift) * plan.row_stride);

  const size_t last_rows = plan.out_height - (plan.num_tiles - 1) * rows;
  const auto run = [&](size_t tile_rows) {
    return wide ? Run{plan.out_width, tile_rows, plan.row_stride}
                : Run{tile_rows * plan.out_width, 1, 0};
  };
  plan.full_tile = make_panels(layer, set, run(rows));
  plan.last_tile = make_panels(layer, set, run(last_rows));
}

void lay_out_direct(const Layer& layer, const InstructionSet& set, Plan& plan) {
  plan.y = plan.x = copies(1, 1);
  plan.plane = size_t{plan.height} * plan.width;
  plan.row_stride = plan.width;
  plan.tile_rows = plan.out_height;
  plan.num_tiles = 1;
  plan.full_tile = plan.last_tile = make_panels(layer, set, Run{plan.plane, 1, 0});
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

// Offsets are 32 bits wide: no tensor of one image may have more elements than that.
void check_size(uint64_t a, uint64_t b, uint64_t c) {
  constexpr uint64_t most = std::numeric_limits<uint32_t>::max();
  if (a > most / b || a * b > most / c) throw std::invalid_argument("the image is too large");
}

}  // namespace

Plan make_plan(const Layer& layer, const InstructionSet& set, uint32_t height, uint32_t width) {
  const Window& window = layer.window;
  Plan plan{};
  plan.height = height;
  plan.width = width;
  plan.out_height = out_size(layer, 0, height);
  plan.out_width = out_size(layer, 1, width);
  plan.direct = window.size == std::array<uint32_t, 2>{1, 1} &&
                window.stride == std::array<uint32_t, 2>{1, 1} &&
                window.padding == std::array<uint32_t, 4>{0, 0, 0, 0};
  check_size(layer.out_channels, plan.out_height, plan.out_width);
  check_size(layer.in_channels, height, width);
  // What a prepared image holds, however it is cut into views and rows.
  const uint64_t views = uint64_t{window.size[0]} * window.size[1];
  const uint64_t tall = plan.out_height + uint64_t{window.size[0]} * window.dilation[0];
  const uint64_t broad = plan.out_width + uint64_t{window.size[1]} * window.dilation[1];
  check_size(views * layer.in_channels, tall + 1, broad + 2 * kConflictFloats);
  if (plan.direct) {
    lay_out_direct(layer, set, plan);
  } else {
    lay_out(layer, set, plan);
  }
  plan.offsets = tap_offsets(layer, plan);
  const size_t groups = plan.full_tile.groups.size();
  const size_t parts = std::min((kItems + groups - 1) / groups, layer.blocks.size());
  plan.parts = split_blocks(layer, parts);
  return plan;
}

}  // namespace edgewright
