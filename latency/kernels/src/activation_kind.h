// What an operator does to its results, and the suffixes of operator names that say so.
#pragma once

namespace edgewright {

enum class ActivationKind { kNone, kRelu, kRelu6, kSilu, kHardSwish };

struct ActivationSuffix {
  const char* suffix;  // of the operator's name
  ActivationKind kind;
};

constexpr ActivationSuffix kActivations[] = {
    {"", ActivationKind::kNone},
    {"Relu", ActivationKind::kRelu},
    {"Relu6", ActivationKind::kRelu6},
    {"Silu", ActivationKind::kSilu},
    {"HardSwish", ActivationKind::kHardSwish},
};

}  // namespace edgewright
