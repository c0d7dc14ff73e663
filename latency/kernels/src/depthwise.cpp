#include "depthwise.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "window_node.h"

namespace edgewright {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kHighestOfRelu6 = 6.0f;

enum Input : size_t { kX, kWeight, kBias };

WindowStyle style_of(bool relu_input, ActivationKind activation) {
  const bool curved =
      activation == ActivationKind::kSilu || activation == ActivationKind::kHardSwish;
  const bool clamped = !curved && activation != ActivationKind::kNone;
  return {relu_input ? 0.0f : -kInfinity, clamped ? 0.0f : -kInfinity,
          activation == ActivationKind::kRelu6 ? kHighestOfRelu6 : kInfinity,
          curved ? activation : ActivationKind::kNone};
}

// From [row][column] of the window to [column][row], the order in which the kernel reads them.
std::vector<float> transpose(const float* weights, size_t channels, size_t height, size_t width) {
  std::vector<float> result;
  result.reserve(channels * height * width);
  for (size_t channel = 0; channel < channels; ++channel, weights += height * width) {
    for (size_t x = 0; x < width; ++x) {
      for (size_t y = 0; y < height; ++y) result.push_back(weights[y * width + x]);
    }
  }
  return result;
}

WindowLayer read_layer(const OrtKernelInfo* info, const WindowStyle& style) {
  const Tensor weight = constant_input(info, kWeight, "weight", kFloat);
  const Tensor bias = constant_input(info, kBias, "bias", kFloat);
  const auto& shape = weight.shape;
  if (shape.size() != 4 || shape[0] < 1 || shape[1] != 1 || shape[2] < 1 || shape[3] < 1) {
    throw std::invalid_argument("weight must have shape (channels, 1, height, width)");
  }
  if (bias.shape != std::vector<int64_t>{shape[0]}) {
    throw std::invalid_argument("bias must have one value per channel");
  }
  const int64_t group = whole_number(info, "group");
  if (group != shape[0]) {
    throw std::invalid_argument("group must be the number of channels, " +
                                std::to_string(shape[0]) + ", got " + std::to_string(group));
  }
  const bool clamps = style.floor > -kInfinity;
  const auto channels = static_cast<size_t>(shape[0]);
  const auto* biases = static_cast<const float*>(bias.data);
  return {{WindowOp::kConvolve, read_window(info, shape[2], shape[3]), clamps, channels},
          style,
          transpose(static_cast<const float*>(weight.data), channels,
                    static_cast<size_t>(shape[2]), static_cast<size_t>(shape[3])),
          std::vector<float>(biases, biases + channels)};
}

}  // namespace

std::vector<OperatorDefinition> depthwise_operators(const WindowSet& set) {
  std::vector<OperatorDefinition> definitions;
  for (const bool relu_input : {false, true}) {
    for (const ActivationSuffix& activation : kActivations) {
      const std::string name =
          std::string(relu_input ? "Relu" : "") + "DepthwiseConv" + activation.suffix;
      const WindowStyle style = style_of(relu_input, activation.kind);
      definitions.push_back(
          {name, {kFloat, kFloat, kFloat}, [&set, style](const OrtKernelInfo* info) {
             return std::make_unique<WindowNode>(read_layer(info, style), set);
           }});
    }
  }
  return definitions;
}

}  // namespace edgewright
