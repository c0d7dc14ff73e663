// A node that computes every plane of its input by itself: depthwise convolution or pooling.
#pragma once

#include <vector>

#include "operator.h"
#include "plan_cache.h"
#include "window_plan.h"

namespace edgewright {

// Where a channel's taps are in a list; `all`: they are not, all taps of its window count.
struct TapRange {
  size_t begin;
  size_t end;
  bool all;
};

struct WindowLayer {
  WindowTask task;
  WindowStyle style;
  std::vector<float> weights;  // per channel: [column of the window][row of the window]
  std::vector<float> bias;     // per channel
  // Per channel whose taps are listed: task.listed[begin, end), and what they are multiplied
  // with. Zeros are left out.
  std::vector<TapRange> ranges;
  std::vector<float> listed_weights;
  std::vector<uint32_t> order;  // of the channels, by their number of taps
};

// Runs of as many channels as there are lanes; the last one overlaps the one before.
struct ChannelGroups {
  std::vector<size_t> first;   // channel of each group
  std::vector<float> weights;  // per group: [column of the window][row of the window][lane]
};

class WindowNode : public Kernel {
 public:
  WindowNode(WindowLayer layer, const WindowSet& set);

  void compute(OrtKernelContext* context) override;

 private:
  const WindowLayer layer_;
  const WindowSet& set_;
  const ChannelGroups groups_;
  PlanCache<WindowPlan> plans_;
};

// Work that is worth a thread of its own, in vectors of products.
constexpr size_t kWorkOfAPiece = 4096;

// How many items, of `work` each, are one piece of the work that threads share out.
size_t items_of_a_piece(size_t items, size_t work);

// The one input of a node. Throws std::invalid_argument unless it has rank 4 and, where
// `channels` is not 0, that many channels.
Tensor image_input(OrtKernelContext* context, size_t channels);

}  // namespace edgewright
