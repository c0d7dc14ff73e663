#include "run.h"

#include <algorithm>
#include <limits>

#include "parallel.h"

namespace edgewright {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr size_t kManyTiles = 8;      // from here on threads take whole tiles
constexpr size_t kPrepareChunk = 16;  // planes that are prepared as one piece of work

thread_local Scratch scratch;

// Pixels of one tile: what is read, and where in the output they begin.
struct Tile {
  const Panels& panels;
  TileInput input;
  size_t first;  // elements from the beginning of the output

  // Groups of panels, or one item of work even where nothing is computed but much is filled.
  size_t num_groups() const { return std::max<size_t>(1, panels.groups.size()); }
};

Tile tile_of(const Call& call, size_t index) {
  const Plan& plan = call.plan;
  const size_t image = index / plan.num_tiles;
  const auto number = static_cast<uint32_t>(index % plan.num_tiles);
  const uint32_t top = number * plan.tile_rows;
  const TileInput input{call.layer,
                        call.set,
                        plan,
                        call.input + image * call.input_image(),
                        top,
                        std::min(plan.tile_rows, plan.out_height - top)};
  return {plan.panels_of(number), input,
          image * call.output_image() + size_t{top} * plan.out_width};
}

// Positions that are not computed are constant for a channel.
void fill(const Call& call, const Tile& tile, size_t part) {
  const size_t end = call.plan.parts[part + 1];
  for (size_t i = call.plan.parts[part]; i < end; ++i) {
    const Block& block = call.layer.blocks[i];
    for (uint32_t channel = block.channel; channel < block.channel + block.rows; ++channel) {
      float* plane = call.output + tile.first + channel * call.output_plane();
      for (const Span& span : tile.panels.filled) {
        std::fill(plane + span.begin, plane + span.end, call.layer.positions->fill[channel]);
      }
    }
  }
}

// `input`: what the kernel reads, prepared or the image itself.
void multiply(const Call& call, const Tile& tile, size_t group_index, size_t part,
              const float* input) {
  if (group_index == 0 && !tile.panels.filled.empty()) fill(call, tile, part);
  if (tile.panels.groups.empty()) return;
  const Group& group = tile.panels.groups[group_index];
  const size_t first = call.plan.parts[part];
  group.kernel({call.layer.blocks.data() + first, call.plan.parts[part + 1] - first,
                call.plan.offsets.data(), call.layer.weights.data(), call.layer.bias.data(),
                tile.panels.panels.data() + group.first, group.count, tile.panels.picks.data(),
                input, call.residual == nullptr ? nullptr : call.residual + tile.first,
                call.output + tile.first, call.output_plane(), call.epilogue,
                call.ending(),
                call.layer.relu_direct() ? 0.0f : -kInfinity});
}

void run_direct(const Call& call) {
  const size_t parts = call.plan.num_parts();
  const size_t per_image = tile_of(call, 0).num_groups() * parts;
  parallel_for(call.context, call.batch * per_image, [&](size_t item) {
    const Tile tile = tile_of(call, item / per_image);
    const size_t piece = item % per_image;
    multiply(call, tile, piece / parts, piece % parts, tile.input.image);
  });
}

// Planes that a tile's products read; none where all positions are filled.
size_t num_planes(const Call& call, const Tile& tile) {
  if (tile.panels.groups.empty()) return 0;
  return call.plan.scratch_size(call.layer) / call.plan.plane;
}

// Few tiles: threads share the work of each, first its preparation, then its products.
void share_tile(const Call& call, const Tile& tile, float* prepared) {
  const size_t planes = num_planes(call, tile);
  const size_t parts = call.plan.num_parts();
  parallel_for(call.context, (planes + kPrepareChunk - 1) / kPrepareChunk, [&](size_t chunk) {
    const size_t end = std::min(planes, (chunk + 1) * kPrepareChunk);
    for (size_t index = chunk * kPrepareChunk; index < end; ++index) {
      prepare_plane(tile.input, index, prepared);
    }
  });
  parallel_for(call.context, tile.num_groups() * parts, [&](size_t item) {
    multiply(call, tile, item / parts, item % parts, prepared);
  });
}

// Many tiles: every thread takes whole ones, prepared in memory of its own.
void own_tile(const Call& call, const Tile& tile) {
  const size_t planes = num_planes(call, tile);
  float* prepared = scratch.reserve(call.plan.scratch_size(call.layer));
  for (size_t index = 0; index < planes; ++index) {
    prepare_plane(tile.input, index, prepared);
  }
  for (size_t group = 0; group < tile.num_groups(); ++group) {
    for (size_t part = 0; part < call.plan.num_parts(); ++part) {
      multiply(call, tile, group, part, prepared);
    }
  }
}

void run_prepared(const Call& call) {
  const size_t tiles = call.batch * call.plan.num_tiles;
  if (tiles >= kManyTiles) {
    parallel_for(call.context, tiles, [&](size_t i) { own_tile(call, tile_of(call, i)); });
    return;
  }
  float* prepared = scratch.reserve(call.plan.scratch_size(call.layer));
  for (size_t i = 0; i < tiles; ++i) share_tile(call, tile_of(call, i), prepared);
}

}  // namespace

void run(const Call& call) {
  if (call.batch == 0) return;
  if (call.plan.direct) {
    run_direct(call);
  } else {
    run_prepared(call);
  }
}

}  // namespace edgewright
