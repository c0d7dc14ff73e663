// One run of a convolution: inputs are prepared, tiles multiplied, on the session's own threads.
#pragma once

#include <cmath>

#include "prepare.h"

namespace edgewright {

struct Call {
  const Layer& layer;
  const InstructionSet& set;
  const Plan& plan;
  const Epilogue& epilogue;
  OrtKernelContext* context;
  size_t batch;
  const float* input;
  const float* residual;  // of the output's shape, or null
  float* output;

  size_t input_image() const { return size_t{layer.in_channels} * plan.height * plan.width; }
  size_t output_plane() const { return size_t{plan.out_height} * plan.out_width; }
  size_t output_image() const { return layer.out_channels * output_plane(); }
  Ending ending() const {
    if (epilogue.curve != ActivationKind::kNone) return Ending::kBends;
    if (residual != nullptr) return Ending::kAdds;
    return std::isinf(epilogue.highest) ? Ending::kPlain : Ending::kCaps;
  }
};

void run(const Call& call);

}  // namespace edgewright
