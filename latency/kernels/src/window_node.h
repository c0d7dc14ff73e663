// A node that computes every plane of its input by itself: depthwise convolution or pooling.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "operator.h"
#include "window_plan.h"

namespace edgewright {

struct WindowLayer {
  WindowTask task;
  WindowStyle style;
  size_t channels;             // 0: any number
  std::vector<float> weights;  // per channel: [column of the window][row of the window]
  std::vector<float> bias;     // per channel
};

class WindowNode : public Kernel {
 public:
  WindowNode(WindowLayer layer, const WindowSet& set) : layer_(std::move(layer)), set_(set) {}

  void compute(OrtKernelContext* context) override;

 private:
  std::shared_ptr<const WindowPlan> plan_for(uint32_t height, uint32_t width);

  const WindowLayer layer_;
  const WindowSet& set_;
  std::mutex mutex_;  // guards plan_: one session may be run by many threads at once
  std::shared_ptr<const WindowPlan> plan_;
};

// A run of planes of about this much work is worth a thread, in vectors of products.
constexpr size_t kWorkOfAPiece = 4096;

// Boundaries of equal runs of planes that threads share out, for planes of `work` each.
size_t planes_of_a_piece(size_t planes, size_t work);

// The one input of a node. Throws std::invalid_argument unless it has rank 4 and, where
// `channels` is not 0, that many channels.
Tensor image_input(OrtKernelContext* context, size_t channels);
float* image_output(OrtKernelContext* context, const std::vector<int64_t>& shape);

}  // namespace edgewright
