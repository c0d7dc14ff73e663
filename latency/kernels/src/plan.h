// How one layer is computed for one size of image: what is prepared, which pixels go together.
#pragma once

#include <cstdint>
#include <vector>

#include "layer.h"
#include "panels.h"

namespace edgewright {

// One axis of the prepared input. A view is a copy that starts at its own place and holds every
// stride-th element, so that a tap reads neighbours for neighbouring outputs.
struct Axis {
  std::vector<uint32_t> starts;  // per view, in coordinates of the padded input
  std::vector<uint32_t> views;   // per tap: the view that it reads
  std::vector<uint32_t> shifts;  // per tap: elements from the view's start
  uint32_t max_shift = 0;
};

// Elements [first, end) of a view's axis that lie inside of the image; the others are padding.
struct Inside {
  int64_t first;
  int64_t end;
};

// `origin`: where the view's first element lies, in coordinates of the image.
Inside inside_of(int64_t origin, int64_t stride, int64_t length, int64_t image);

struct Plan {
  uint32_t height;  // of the input, pixels
  uint32_t width;
  uint32_t out_height;
  uint32_t out_width;
  bool direct;  // 1x1 without stride and padding reads the input tensor itself
  Axis y;
  Axis x;
  uint32_t row_stride;  // elements of a row of a prepared plane
  size_t plane;         // elements of a plane
  uint32_t tile_rows;   // output rows of a tile; the last tile may have fewer
  uint32_t num_tiles;
  std::vector<uint32_t> offsets;  // per tap
  std::vector<Panels> tiles;      // one for each tile with positions, else a full and the last one
  std::vector<size_t> parts;      // boundaries of runs of blocks that threads share out

  size_t num_parts() const { return parts.size() - 1; }
  const Panels& panels_of(size_t tile) const {
    return tiles[tiles.size() == num_tiles ? tile : tile + 1 == num_tiles ? 1 : 0];
  }
  size_t scratch_size(const Layer& layer) const {
    return direct ? 0 : y.starts.size() * x.starts.size() * layer.in_channels * plane;
  }
};

// Throws std::invalid_argument when the window does not fit the image or sizes are absurd.
Plan make_plan(const Layer& layer, const InstructionSet& set, uint32_t height, uint32_t width);

}  // namespace edgewright
