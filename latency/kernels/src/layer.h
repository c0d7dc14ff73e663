// A sparse convolution as it is given in the model, checked and packed for the kernels.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernel.h"
#include "ort_api.h"

namespace edgewright {

constexpr uint32_t kRowsOfBlock = 4;

// One group of weights: the input channel and the place in the window that they multiply.
struct Tap {
  uint32_t channel;
  uint32_t y;
  uint32_t x;
};

struct Window {
  std::array<uint32_t, 2> size;     // height, width
  std::array<uint32_t, 2> stride;   // height, width
  std::array<uint32_t, 2> dilation; // height, width
  std::array<uint32_t, 4> padding;  // top, left, bottom, right
};

// Activation sparsity: only runs of kRunPixels adjacent pixels of the output plane are computed.
struct Positions {
  std::vector<uint32_t> runs;  // ascending
  std::vector<float> fill;     // per output channel: what all other pixels are
};

constexpr uint32_t kRunPixels = 16;

struct Layer {
  uint32_t out_channels;
  uint32_t in_channels;
  uint32_t rows;  // output channels that share their taps: 1 or kRowsOfBlock
  Window window;
  std::vector<Block> blocks;   // ascending by number of taps, so that loop exits are predictable
  std::vector<Tap> taps;
  std::vector<float> weights;  // one per row of the block, for each tap
  std::vector<float> bias;     // padded to whole blocks
  bool relu_input;             // negative inputs are read as zero
  std::optional<Positions> positions;

  // Whether kernels read the input tensor itself: 1x1 without stride and padding.
  bool is_direct() const {
    using Pair = std::array<uint32_t, 2>;
    return window.size == Pair{1, 1} && window.stride == Pair{1, 1} &&
           window.padding == std::array<uint32_t, 4>{};
  }
  // Prepared inputs are clamped when they are copied.
  bool relu_direct() const { return relu_input && is_direct(); }
};

// What a node holds: attributes and constant inputs, not yet trusted.
struct LayerSource {
  std::vector<int64_t> weight_shape;  // out, in of one group, height, width
  std::vector<int64_t> strides;       // 2
  std::vector<int64_t> dilations;     // 2
  std::vector<int64_t> pads;          // 4
  int64_t group;                      // outputs of a group see only its inputs
  Tensor values;                      // float32 (groups, rows of a block)
  Tensor indices;                     // int32 (groups): ascending flat positions in the weight of
                                      // shape (blocks, in, height, width)
  Tensor bias;                        // float32 (out)
  bool relu_input;
};

// Throws std::invalid_argument that says what is wrong.
Layer pack_layer(const LayerSource& source);

// `positions`: int32, ascending numbers of runs; `fill`: float32 (out). Throws like pack_layer.
Positions pack_positions(const Tensor& positions, const Tensor& fill, uint32_t out_channels);

// Boundaries of `parts` runs of blocks with about the same work each; parts + 1 values.
std::vector<size_t> split_blocks(const Layer& layer, size_t parts);

}  // namespace edgewright
