#include "layer.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace edgewright {
namespace {

constexpr int64_t kMaxSize = 65536;  // of any dimension, stride, dilation or padding
constexpr size_t kWorkOfAnEmptyBlock = 4;  // in taps: storing the results costs about that

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

uint32_t in_range(int64_t value, int64_t lowest, const char* what) {
  if (value < lowest || value > kMaxSize) {
    refuse(std::string(what) + " must be from " + std::to_string(lowest) + " to " +
           std::to_string(kMaxSize) + ", got " + std::to_string(value));
  }
  return static_cast<uint32_t>(value);
}

template <size_t Count>
std::array<uint32_t, Count> all_in_range(const std::vector<int64_t>& values, int64_t lowest,
                                         const char* what) {
  std::array<uint32_t, Count> checked{};
  for (size_t i = 0; i < Count; ++i) checked[i] = in_range(values.at(i), lowest, what);
  return checked;
}

void check_shapes(const LayerSource& source, const Layer& layer) {
  const auto& values = source.values.shape;
  if (values.size() != 2 || (values[1] != 1 && values[1] != kRowsOfBlock)) {
    refuse("values must have shape (groups, 1) or (groups, 4)");
  }
  if (source.indices.shape.size() != 1 || source.indices.shape[0] != values[0]) {
    refuse("indices must have one value per row of values");
  }
  if (source.bias.shape != std::vector<int64_t>{int64_t{layer.out_channels}}) {
    refuse("bias must have one value per output channel");
  }
}

// Number of blocks times places in one block, which every index must be below.
int64_t num_places(const Layer& layer) {
  int64_t places = (layer.out_channels + layer.rows - 1) / layer.rows;
  for (const uint32_t size : {layer.in_channels, layer.window.size[0], layer.window.size[1]}) {
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
std::vector<Block> find_blocks(const Layer& layer, const int32_t* indices, size_t count) {
  const int64_t places = int64_t{layer.in_channels} * layer.window.size[0] * layer.window.size[1];
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

Tap tap_of(const Layer& layer, int32_t index) {
  const auto [height, width] = layer.window.size;
  const uint32_t place = static_cast<uint32_t>(index);
  return {place / (height * width) % layer.in_channels, place / width % height, place % width};
}

}  // namespace

Layer pack_layer(const LayerSource& source) {
  const auto shape = all_in_range<4>(source.weight_shape, 1, "weight_shape");
  Layer layer{};
  layer.out_channels = shape[0];
  layer.in_channels = shape[1];
  layer.window.size = {shape[2], shape[3]};
  layer.window.stride = all_in_range<2>(source.strides, 1, "strides");
  layer.window.dilation = all_in_range<2>(source.dilations, 1, "dilations");
  layer.window.padding = all_in_range<4>(source.pads, 0, "pads");
  check_shapes(source, layer);
  layer.rows = static_cast<uint32_t>(source.values.shape[1]);

  const size_t count = static_cast<size_t>(source.values.shape[0]);
  const auto* indices = static_cast<const int32_t*>(source.indices.data);
  const auto* values = static_cast<const float*>(source.values.data);
  const auto* bias = static_cast<const float*>(source.bias.data);
  check_indices(indices, count, num_places(layer));

  layer.blocks = find_blocks(layer, indices, count);
  std::stable_sort(layer.blocks.begin(), layer.blocks.end(), [](const Block& a, const Block& b) {
    return a.end - a.begin < b.end - b.begin;
  });
  layer.taps.reserve(count);
  layer.weights.reserve(count * layer.rows);
  for (Block& block : layer.blocks) {
    const auto begin = static_cast<uint32_t>(layer.taps.size());
    for (uint32_t group = block.begin; group < block.end; ++group) {
      layer.taps.push_back(tap_of(layer, indices[group]));
      const float* first = values + size_t{group} * layer.rows;
      layer.weights.insert(layer.weights.end(), first, first + layer.rows);
    }
    block.begin = begin;
    block.end = static_cast<uint32_t>(layer.taps.size());
  }
  layer.bias.assign(bias, bias + layer.out_channels);
  layer.bias.resize(size_t{layer.out_channels} + layer.rows - 1, 0.0f);
  return layer;
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
