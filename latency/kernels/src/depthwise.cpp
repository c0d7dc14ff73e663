#include "depthwise.h"

#include <algorithm>
#include <limits>
#include <numeric>
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

// Lists the taps that are not zero, where that pays: where there are few of them, or where there
// is no loop for all taps of the window.
void list_taps(WindowLayer& layer) {
  const Window& window = layer.task.window;
  const size_t taps = layer.weights.size() / layer.bias.size();
  const bool all_taps = has_loop(window);
  const auto most = static_cast<size_t>(static_cast<double>(taps) * kListedShare);
  size_t kept = 0;
  for (size_t channel = 0; channel < layer.bias.size(); ++channel) {
    const float* weights = layer.weights.data() + channel * taps;
    const size_t count = taps - static_cast<size_t>(std::count(weights, weights + taps, 0.0f));
    const bool all = all_taps && count > most;
    TapRange range{layer.listed_weights.size(), 0, all};
    for (size_t tap = 0; tap < taps && !all; ++tap) {
      if (weights[tap] == 0) continue;
      layer.listed_weights.push_back(weights[tap]);
      layer.task.listed.push_back(static_cast<uint32_t>(tap));
    }
    range.end = layer.listed_weights.size();
    layer.ranges.push_back(range);
    kept += count;
  }
  const auto work = [&](uint32_t channel) {
    const TapRange& range = layer.ranges[channel];
    return range.all ? taps + 1 : range.end - range.begin;
  };
  layer.order.resize(layer.ranges.size());
  std::iota(layer.order.begin(), layer.order.end(), 0u);
  std::stable_sort(layer.order.begin(), layer.order.end(),
                   [&](uint32_t a, uint32_t b) { return work(a) < work(b); });
  layer.task.kept = static_cast<double>(kept) / static_cast<double>(layer.weights.size());
}

WindowLayer read_layer(const OrtKernelInfo* info, const WindowStyle& style) {
  const Tensor weight = constant_input(info, kWeight, "weight", kFloat);
  const Tensor bias = constant_input(info, kBias, "bias", kFloat);
  const auto& shape = weight.shape;
  if (shape.size() != 4 || shape[0] < 1 || shape[1] != 1 || shape[2] < 1 || shape[3] < 1) {
    throw std::invalid_argument("weight must have shape (channels, 1, height, width)");
  }
  if (bias.shape != Shape{shape[0]}) {
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
  WindowLayer layer{
      {WindowOp::kConvolve, read_window(info, shape[2], shape[3]), clamps, channels, 1, {}},
      style,
      transpose(static_cast<const float*>(weight.data), channels, static_cast<size_t>(shape[2]),
                static_cast<size_t>(shape[3])),
      std::vector<float>(biases, biases + channels),
      {},
      {},
      {}};
  list_taps(layer);
  return layer;
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
