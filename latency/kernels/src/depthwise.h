// The depthwise convolutions of the library, as operators.
#pragma once

#include <vector>

#include "operator.h"
#include "window_kernel.h"

namespace edgewright {

// [Relu]DepthwiseConv[Relu|Relu6|Silu|HardSwish].
std::vector<OperatorDefinition> depthwise_operators(const WindowSet& set);

}  // namespace edgewright
