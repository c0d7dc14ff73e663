// The sparse convolutions of the library, as operators.
#pragma once

#include <vector>

#include "kernel.h"
#include "operator.h"

namespace edgewright {

// SparseConv, SparseConvPositions and SparseGemm with all of their prefixes and suffixes.
std::vector<OperatorDefinition> conv_operators(const InstructionSet& set);

}  // namespace edgewright
