#include "pool.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "parallel.h"
#include "window_node.h"

namespace edgewright {
namespace {

// Of a window: time and memory grow with them, in an image however small. Larger ones are rather
// a mean over everything, for which there is an operator.
constexpr uint64_t kMaxPositions = 65536;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

WindowLayer read_layer(const OrtKernelInfo* info, WindowOp op) {
  const std::vector<int64_t> size = attribute(info, "kernel_shape", 2);
  const Window window = read_window(info, size[0], size[1]);
  if (uint64_t{window.size[0]} * window.size[1] > kMaxPositions) {
    throw std::invalid_argument("kernel_shape must have at most " +
                                std::to_string(kMaxPositions) + " positions");
  }
  for (int axis = 0; axis < 2; ++axis) {
    if (std::max(window.padding[axis], window.padding[axis + 2]) >= reach(window, axis)) {
      throw std::invalid_argument("pads must be smaller than the window's reach");
    }
  }
  const WindowStyle style{-kInfinity, -kInfinity, kInfinity, ActivationKind::kNone};
  return {{op, window, false, 0, 1, {}}, style, {}, {}, {}, {}, {}};
}

OperatorDefinition define(const char* name, WindowOp op, const WindowSet& set) {
  return {name, {kFloat}, [&set, op](const OrtKernelInfo* info) {
            return std::make_unique<WindowNode>(read_layer(info, op), set);
          }};
}

class GlobalAverage : public Kernel {
 public:
  explicit GlobalAverage(const WindowSet& set) : set_(set) {}

  void compute(OrtKernelContext* context) override {
    const Tensor input = image_input(context, 0);
    const auto& shape = input.shape;
    const size_t planes = static_cast<size_t>(shape[0]) * static_cast<size_t>(shape[1]);
    const size_t size = static_cast<size_t>(shape[2]) * static_cast<size_t>(shape[3]);
    if (planes > 0 && size == 0) throw std::invalid_argument("image size out of range");
    float* output = output_tensor(context, {shape[0], shape[1], 1, 1});
    if (planes == 0) return;
    const auto* data = static_cast<const float*>(input.data);
    const size_t piece = items_of_a_piece(planes, (size + set_.lanes - 1) / set_.lanes);
    parallel_for(context, (planes + piece - 1) / piece, [&](size_t number) {
      const size_t end = std::min(planes, (number + 1) * piece);
      for (size_t plane = number * piece; plane < end; ++plane) {
        output[plane] = set_.sum(data + plane * size, size) / static_cast<float>(size);
      }
    });
  }

 private:
  const WindowSet& set_;
};

}  // namespace

std::vector<OperatorDefinition> pool_operators(const WindowSet& set) {
  return {define("MaxPool", WindowOp::kMaximum, set), define("AveragePool", WindowOp::kSum, set),
          {"GlobalAveragePool", {kFloat}, [&set](const OrtKernelInfo*) {
             return std::make_unique<GlobalAverage>(set);
           }}};
}

}  // namespace edgewright
