// The prepared input of a tile: padded copies of its planes, in the order that taps read them.
#pragma once

#include "plan.h"

namespace edgewright {

// One of the tensors that hold the input channels.
struct Source {
  const float* data;  // of the first image of the batch
  size_t channels;
};

struct TileInput {
  const Layer& layer;
  const InstructionSet& set;
  const Plan& plan;
  const std::vector<Source>& sources;
  size_t image;   // number in the batch
  uint32_t top;   // the tile's first output row
  uint32_t rows;  // of the output

  // Where a channel of the image begins.
  const float* plane_of(size_t channel) const {
    const size_t plane = size_t{plan.height} * plan.width;
    auto source = sources.begin();
    for (; channel >= source->channels; ++source) channel -= source->channels;
    return source->data + (image * source->channels + channel) * plane;
  }
};

// Writes plane `index` of the tile's prepared input.
void prepare_plane(const TileInput& tile, size_t index, float* prepared);

}  // namespace edgewright
