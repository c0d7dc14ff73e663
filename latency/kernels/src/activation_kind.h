// What an operator does to its results, and the suffixes of operator names that say so.
//
// Included by files that are compiled per instruction set: no standard library code (kernel.h).
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

// An activation as kernels compute it: clamps are cheap, a curve is not.
struct Epilogue {
  float lowest;  // results are clamped: from 0 for ReLU, from -infinity for none
  float highest;
  ActivationKind curve;  // kSilu or kHardSwish, else kNone
};

constexpr Epilogue epilogue_of(ActivationKind kind) {
  constexpr float kInfinity = __builtin_inff();
  switch (kind) {
    case ActivationKind::kRelu:
      return {0.0f, kInfinity, ActivationKind::kNone};
    case ActivationKind::kRelu6:
      return {0.0f, 6.0f, ActivationKind::kNone};
    default:
      return {-kInfinity, kInfinity, kind};
  }
}

}  // namespace edgewright
