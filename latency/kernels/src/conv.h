// The sparse convolutions of the library, as operators.
#pragma once

#include <vector>

#include "kernel.h"
#include "operator.h"

namespace edgewright {

// SparseConv and SparseConvRelu.
std::vector<OperatorDefinition> conv_operators(const InstructionSet& set);

}  // namespace edgewright
