// What the suffix of an operator's name does to its results.
#pragma once

#include <limits>
#include <vector>

#include "kernel.h"

namespace edgewright {

struct NamedEpilogue {
  const char* suffix;
  Epilogue epilogue;
};

// Every activation that an operator may end with, none first.
inline std::vector<NamedEpilogue> epilogues(const InstructionSet& set) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return {{"", {-kInfinity, kInfinity, nullptr}},
          {"Relu", {0.0f, kInfinity, nullptr}},
          {"Relu6", {0.0f, 6.0f, nullptr}},
          {"Silu", {-kInfinity, kInfinity, set.silu}},
          {"HardSwish", {-kInfinity, kInfinity, set.hard_swish}}};
}

}  // namespace edgewright
