// The pooling operators of the library.
#pragma once

#include <vector>

#include "operator.h"
#include "window_kernel.h"

namespace edgewright {

// MaxPool, AveragePool (padding does not count into the mean), GlobalAveragePool.
std::vector<OperatorDefinition> pool_operators(const WindowSet& set);

}  // namespace edgewright
