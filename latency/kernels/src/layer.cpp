#include "layer.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "ranges.h"

namespace edgewright {
namespace {

constexpr size_t kWorkOfAnEmptyBlock = 4;  // in taps: storing the results costs about that

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void check_shapes(const LayerSource& source, const Layer& layer) {
  const auto& values = source.values.shape;
  if (values.size() != 2 || (values[1] != 1 && values[1] != kRowsOfBlock)) {
    refuse("values must have shape (groups, 1) or (groups, 4)");
  }
  if (source.indices.shape.size() != 1 || source.indices.shape[0] != values[0]) {
    refuse("indices must have one value per row of values");
  }
  if (source.bias.shape != Shape{int64_t{layer.out_channels}}) {
    refuse("bias must have one value per output channel");
  }
}

// Outputs of a group see only its inputs, so a block must not reach into the next group.
uint32_t checked_groups(int64_t group, uint32_t out_channels, uint32_t rows) {
  const uint32_t groups = in_range(group, 1, "group");
  if (out_channels % groups != 0) refuse("group must divide the output channels");
  if (groups > 1 && out_channels / groups % rows != 0) {
    refuse("output channels of a group must be a multiple of the rows of a block");
  }
  return groups;
}

// Number of blocks times places in one block, which every index must be below.
int64_t num_places(const Layer& layer, uint32_t group_inputs) {
  int64_t places = (layer.out_channels + layer.rows - 1) / layer.rows;
  for (const uint32_t size : {group_inputs, layer.window.size[0], layer.window.size[1]}) {
    places *= size;
    if (places > std::numeric_limits<int32_t>::max()) refuse("weight_shape is too large");
  }
  return places;
}

void check_indices(const int32_t* indices, size_t count, int64_t places) {
  int64_t previous = -1;
  for (size_t i = 0; i < count; ++i) {
    if (indices[i] <= previous || indices[i] >= places) {
      refuse("indices must ascend from 0 to " + std::to_string(places - 1) + ", got " +
             std::to_string(indices[i]) + " at " + std::to_string(i));
    }
    previous = indices[i];
  }
}

// The blocks in the order of the model; begin and end count its groups.
std::vector<Block> find_blocks(const Layer& layer, uint32_t group_inputs, const int32_t* indices,
                               size_t count) {
  const int64_t places = int64_t{group_inputs} * layer.window.size[0] * layer.window.size[1];
  std::vector<Block> blocks;
  uint32_t group = 0;
  for (uint32_t first = 0; first < layer.out_channels; first += layer.rows) {
    const int64_t limit = (int64_t{first} / layer.rows + 1) * places;
    const uint32_t begin = group;
    while (group < count && indices[group] < limit) ++group;
    blocks.push_back({first, std::min(layer.rows, layer.out_channels - first), begin, group});
  }
  return blocks;
}

// `first`: the first input channel of the block's group.
Tap tap_of(const Layer& layer, uint32_t first, uint32_t group_inputs, int32_t index) {
  const auto [height, width] = layer.window.size;
  const uint32_t place = static_cast<uint32_t>(index);
  return {first + place / (height * width) % group_inputs, place / width % height, place % width};
}

// Fills taps and weights in the order of the sorted blocks.
void pack_taps(Layer& layer, uint32_t groups, const int32_t* indices, const float* values) {
  const uint32_t group_inputs = layer.in_channels / groups;
  for (Block& block : layer.blocks) {
    const uint32_t first = block.channel / (layer.out_channels / groups) * group_inputs;
    const auto begin = static_cast<uint32_t>(layer.taps.size());
    for (uint32_t tap = block.begin; tap < block.end; ++tap) {
      layer.taps.push_back(tap_of(layer, first, group_inputs, indices[tap]));
      const float* weights = values + size_t{tap} * layer.rows;
      layer.weights.insert(layer.weights.end(), weights, weights + layer.rows);
    }
    block.begin = begin;
    block.end = static_cast<uint32_t>(layer.taps.size());
  }
}

}  // namespace

Layer pack_layer(const LayerSource& source) {
  const auto shape = all_in_range<4>(source.weight_shape, 1, "weight_shape");
  Layer layer{};
  layer.out_channels = shape[0];
  layer.window.size = {shape[2], shape[3]};
  layer.window.stride = all_in_range<2>(source.strides, 1, "strides");
  layer.window.dilation = all_in_range<2>(source.dilations, 1, "dilations");
  layer.window.padding = all_in_range<4>(source.pads, 0, "pads");
  check_shapes(source, layer);
  layer.rows = static_cast<uint32_t>(source.values.shape[1]);
  layer.relu_input = source.relu_input;
  const uint32_t groups = checked_groups(source.group, layer.out_channels, layer.rows);
  layer.in_channels = in_range(int64_t{shape[1]} * groups, 1, "input channels of all groups");

  const size_t count = static_cast<size_t>(source.values.shape[0]);
  const auto* indices = static_cast<const int32_t*>(source.indices.data);
  const auto* values = static_cast<const float*>(source.values.data);
  const auto* bias = static_cast<const float*>(source.bias.data);
  check_indices(indices, count, num_places(layer, shape[1]));

  layer.blocks = find_blocks(layer, shape[1], indices, count);
  std::stable_sort(layer.blocks.begin(), layer.blocks.end(), [](const Block& a, const Block& b) {
    return a.end - a.begin < b.end - b.begin;
  });
  layer.taps.reserve(count);
  layer.weights.reserve(count * layer.rows);
  pack_taps(layer, groups, indices, values);
  layer.bias.assign(bias, bias + layer.out_channels);
  layer.bias.resize(size_t{layer.out_channels} + kRowsOfBlock - 1, 0.0f);
  return layer;
}

Positions pack_positions(const Tensor& positions, const Tensor& fill, uint32_t out_channels) {
  if (positions.shape.size() != 1) refuse("positions must have rank 1");
  if (fill.shape != Shape{int64_t{out_channels}}) {
    refuse("fill must have one value per output channel");
  }
  const auto* runs = static_cast<const int32_t*>(positions.data);
  const auto* values = static_cast<const float*>(fill.data);
  for (int64_t i = 0; i < positions.shape[0]; ++i) {
    if (runs[i] < 0 || (i > 0 && runs[i] <= runs[i - 1])) {
      refuse("positions must ascend from 0, got " + std::to_string(runs[i]) + " at " +
             std::to_string(i));
    }
  }
  return {{runs, runs + positions.shape[0]}, {values, values + out_channels}};
}

std::vector<size_t> split_blocks(const Layer& layer, size_t parts) {
  const size_t total = layer.taps.size() + kWorkOfAnEmptyBlock * layer.blocks.size();
  std::vector<size_t> bounds{0};
  size_t done = 0;
  for (size_t i = 0; i < layer.blocks.size(); ++i) {
    // A part ends once the blocks before this one have its share of the work.
    while (bounds.size() < parts && done * parts >= total * bounds.size()) bounds.push_back(i);
    done += layer.blocks[i].end - layer.blocks[i].begin + kWorkOfAnEmptyBlock;
  }
  bounds.resize(parts, layer.blocks.size());
  bounds.push_back(layer.blocks.size());
  return bounds;
}

}  // namespace edgewright
