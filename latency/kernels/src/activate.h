// Activations that are more than a clamp, on finished values that lie in the first cache.
//
// Only for files that are compiled once per instruction set.
#pragma once

#include "vector.h"

namespace edgewright {
namespace {

// exp(x), to about two units in the last place; x at most 88, where 2^n still has an exponent.
// Above, it grows to infinity, as the polynomial does.
template <int Lanes>
EDGEWRIGHT_INLINE typename Vector<Lanes>::type exponential(typename Vector<Lanes>::type x) {
  using V = typename Vector<Lanes>::type;
  using Integers = typename Vector<Lanes>::integers;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves a whole number
  const V lowest = V{} - 87.0f;
  const V highest = V{} + 88.0f;
  x = at_least(x, lowest);
  const V shifted = at_most(x, highest) * 1.44269504f + kRound;
  const V n = shifted - kRound;
  // ln 2 in two parts, so that the first product is exact.
  const V r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  V sum = V{} + 1.9875691500e-4f;
  sum = sum * r + 1.3981999507e-3f;
  sum = sum * r + 8.3334519073e-3f;
  sum = sum * r + 4.1665795894e-2f;
  sum = sum * r + 1.6666665459e-1f;
  sum = sum * r + 5.0000001201e-1f;
  sum = sum * (r * r) + r + 1.0f;
  const Integers exponent = reinterpret_cast<Integers>(shifted) - 0x4b400000 + 127;
  return sum * reinterpret_cast<V>(exponent << 23);
}

struct Silu {
  template <int Lanes>
  EDGEWRIGHT_INLINE static typename Vector<Lanes>::type of(typename Vector<Lanes>::type x) {
    return x / (exponential<Lanes>(-x) + 1.0f);
  }
};

struct HardSwish {
  template <int Lanes>
  EDGEWRIGHT_INLINE static typename Vector<Lanes>::type of(typename Vector<Lanes>::type x) {
    using V = typename Vector<Lanes>::type;
    const V zero{};
    const V six = V{} + 6.0f;
    return x * (at_most(at_least(x + 3.0f, zero), six) * (1.0f / 6.0f));
  }
};

template <typename Activation>
void activate(float* values, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store<kLanes>(values + i, Activation::template of<kLanes>(load<kLanes>(values + i)));
  }
  for (; i + 4 <= count; i += 4) {
    store<4>(values + i, Activation::template of<4>(load<4>(values + i)));
  }
  for (; i < count; ++i) {
    values[i] = Activation::template of<4>(Vector<4>::type{} + values[i])[0];
  }
}

}  // namespace
}  // namespace edgewright
