// Activations of whole vectors, per instruction set: no standard library code (kernel.h).
//
// A NaN stays a NaN. SiLU and HardSwish of -infinity are NaN, as -infinity * 0 is.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "activation_kind.h"
#include "vector.h"

namespace edgewright {
namespace {

// e to the power of x: relative error below 2e-7 where the result is a normal number, infinity
// from 88.4 on, and about 1e-38 for everything below -87.
template <int Lanes>
inline typename Vector<Lanes>::type exponential(typename Vector<Lanes>::type x) {
  using V = typename Vector<Lanes>::type;
  typedef uint32_t Bits __attribute__((vector_size(Lanes * sizeof(uint32_t))));
  constexpr float kLog2E = 1.44269504f;
  // ln 2 in two parts: the first has few bits, so that its multiples are exact.
  constexpr float kLn2High = 0.693359375f;
  constexpr float kLn2Low = -2.12194440e-4f;
  // Adding 1.5 * 2^23 rounds to an integer, which then is in the low bits of the sum.
  constexpr float kRound = 12582912.0f;

  x = at_most(at_least(x, V{} - 87.0f), V{} + 89.0f);
  const V shifted = x * kLog2E + kRound;
  const V whole = shifted - kRound;
  const V rest = (x - whole * kLn2High) - whole * kLn2Low;
  constexpr float kFactors[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
  V sum = V{} + 1.0f / 5040;
  for (const float factor : kFactors) sum = sum * rest + factor;
  const Bits exponent = (reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000u;
  return sum * reinterpret_cast<V>(exponent);
}

template <int Lanes>
inline typename Vector<Lanes>::type activate(ActivationKind kind,
                                             typename Vector<Lanes>::type x) {
  using V = typename Vector<Lanes>::type;
  const V zero{};
  const V six = V{} + 6.0f;
  switch (kind) {
    case ActivationKind::kRelu:
      return at_least(x, zero);
    case ActivationKind::kRelu6:
      return at_most(at_least(x, zero), six);
    case ActivationKind::kSilu:
      return x / (exponential<Lanes>(-x) + 1.0f);
    case ActivationKind::kHardSwish:
      return x * (at_most(at_least(x + 3.0f, zero), six) * (1.0f / 6));
    case ActivationKind::kNone:
      break;
  }
  return x;
}

}  // namespace
}  // namespace edgewright
