// What the loops over blocks share: no standard library code (kernel.h).
#pragma once

#include "shuffle.h"
#include "vector.h"
#include "vector_activation.h"
#include "window_kernel.h"

namespace edgewright {
namespace {

template <int Lanes>
EDGEWRIGHT_INLINE typename Vector<Lanes>::type broadcast(float value) {
  return value - typename Vector<Lanes>::type{};  // a sum would turn -0 into 0
}

// Behind a function call: few networks need it, and its code is long.
template <int Lanes>
__attribute__((noinline)) void bend(ActivationKind curve, typename Vector<Lanes>::type* values,
                                    int count) {
  for (int i = 0; i < count; ++i) values[i] = activate<Lanes>(curve, values[i]);
}

// Stores rows of which some do not exist or may not run over their end.
template <int Lanes>
__attribute__((noinline)) void store_careful(const BlockOutput& block, const WindowStrip& strip,
                                             const typename Vector<Lanes>::type* values) {
  float* to = block.output + strip.column;
  for (uint32_t r = 0; r < block.count; ++r, to += block.output_step) {
    if (strip.overrun > 0 && to + strip.overrun > block.limit) {
      store_part<Lanes>(to, values[r], strip.width);
    } else {
      store<Lanes>(to, values[r]);
    }
  }
}

template <int Lanes, int Rows>
EDGEWRIGHT_INLINE void store_rows(const BlockOutput& block, const WindowStrip& strip,
                                  const typename Vector<Lanes>::type* values) {
  float* to = block.output + strip.column;
  const float* last = to + (Rows - 1) * block.output_step;
  if (block.count == Rows && (strip.overrun == 0 || last + strip.overrun <= block.limit)) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r, to += block.output_step) store<Lanes>(to, values[r]);
  } else {
    typename Vector<Lanes>::type copies[Rows];  // only these live in memory
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) copies[r] = values[r];
    store_careful<Lanes>(block, strip, copies);
  }
}

template <int Lanes, int Rows>
EDGEWRIGHT_INLINE void finish(const BlockOutput& block, const WindowStrip& strip,
                              typename Vector<Lanes>::type* values) {
  using V = typename Vector<Lanes>::type;
  const WindowStyle& style = *block.style;
  const V lowest = broadcast<Lanes>(style.lowest);
  const V highest = broadcast<Lanes>(style.highest);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) values[r] = at_most(at_least(values[r], lowest), highest);
  if (style.curve != ActivationKind::kNone) {
    V bent[Rows];  // only these live in memory
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) bent[r] = values[r];
    bend<Lanes>(style.curve, bent, Rows);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) values[r] = bent[r];
  }
  store_rows<Lanes, Rows>(block, strip, values);
}

// Row `i` of the block's input meets every row of the window that some sum wants it for.
template <int Lanes, int Kernel, int RowStride, int Rows>
EDGEWRIGHT_INLINE void add_row(typename Vector<Lanes>::type* sums,
                                                   const typename Vector<Lanes>::type* weights,
                                                   typename Vector<Lanes>::type x, int i) {
#pragma GCC unroll 8
  for (int ky = 0; ky < Kernel; ++ky) {
    const int below = i - ky;
    if (below >= 0 && below % RowStride == 0 && below / RowStride < Rows) {
      sums[below / RowStride] += weights[ky] * x;
    }
  }
}

template <int Lanes, int Kernel>
EDGEWRIGHT_INLINE void load_weights(typename Vector<Lanes>::type* weights,
                                                        const float* from) {
#pragma GCC unroll 8
  for (int ky = 0; ky < Kernel; ++ky) weights[ky] = broadcast<Lanes>(from[ky]);
}

}  // namespace
}  // namespace edgewright
