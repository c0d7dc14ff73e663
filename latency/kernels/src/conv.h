// SparseConv: one node of a session.
#pragma once

#include <memory>
#include <mutex>

#include "layer.h"
#include "plan.h"

namespace edgewright {

class SparseConv {
 public:
  // `lowest`: results are clamped from below, by 0 for ReLU and by -infinity for no activation.
  SparseConv(Layer layer, const InstructionSet& set, float lowest);

  // Runs on the session's own threads. Throws std::exception on a bad input shape.
  void compute(OrtKernelContext* context);

 private:
  std::shared_ptr<const Plan> plan_for(uint32_t height, uint32_t width);

  const Layer layer_;
  const InstructionSet& set_;
  const float lowest_;
  std::mutex mutex_;  // guards plan_: one session may be run by many threads at once
  std::shared_ptr<const Plan> plan_;
};

}  // namespace edgewright
