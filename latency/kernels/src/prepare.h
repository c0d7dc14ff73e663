// The prepared input of a tile: padded copies of its planes, in the order that taps read them.
#pragma once

#include "plan.h"

namespace edgewright {

struct TileInput {
  const Layer& layer;
  const InstructionSet& set;
  const Plan& plan;
  const float* image;
  uint32_t top;   // the tile's first output row
  uint32_t rows;  // of the output
};

// Writes plane `index` of the tile's prepared input.
void prepare_plane(const TileInput& tile, size_t index, float* prepared);

}  // namespace edgewright
