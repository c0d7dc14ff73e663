// The copy that prepares an input.
//
// Only for files that are compiled once per instruction set.
#pragma once

#include "kernel.h"
#include "vector.h"

namespace edgewright {
namespace {

template <bool Relu, int Lanes>
EDGEWRIGHT_INLINE void copy_vector(float* target, const float* source) {
  using V = typename Vector<Lanes>::type;
  const V value = load<Lanes>(source);
  store<Lanes>(target, Relu ? at_least(value, V{}) : value);
}

// Returns the end of the copy. `stride` is a constant after inlining, so that loops are vectors.
template <bool Relu>
EDGEWRIGHT_INLINE float* copy_row(float* target, const float* source, size_t count,
                                  size_t stride) {
  size_t i = 0;
  if (stride == 1) {
    for (; i + kLanes <= count; i += kLanes) copy_vector<Relu, kLanes>(target + i, source + i);
    if (i < count && count >= kLanes) {  // the last vector overlaps the one before
      i = count - kLanes;
      copy_vector<Relu, kLanes>(target + i, source + i);
      i = count;
    }
  }
  for (; i < count; ++i) {
    const float value = source[i * stride];
    target[i] = Relu && 0.0f > value ? 0.0f : value;
  }
  return target + count;
}

template <bool Relu>
EDGEWRIGHT_INLINE void copy_with_stride(const RowCopy& copy, size_t stride) {
  float* target = copy.target;
  const float* source = copy.source;
  for (size_t row = 0; row < copy.rows; ++row, source += copy.source_row) {
    for (size_t i = 0; i < copy.before; ++i) *target++ = 0.0f;
    target = copy_row<Relu>(target, source, copy.count, stride);
    for (size_t i = 0; i < copy.after; ++i) *target++ = 0.0f;
  }
}

// Rows of `Vectors` vectors, of which the last overlaps the one before: no loop within a row.
template <bool Relu, int Lanes, int Vectors>
void copy_short_rows(const RowCopy& copy) {
  const size_t length = copy.before + copy.count + copy.after;
  const size_t last = copy.count - Lanes;
  float* target = copy.target;
  const float* source = copy.source;
  for (size_t row = 0; row < copy.rows; ++row, source += copy.source_row, target += length) {
    float* first = target + copy.before;
    for (float* zero = target; zero < first; ++zero) *zero = 0.0f;
#pragma GCC unroll 4
    for (int v = 0; v + 1 < Vectors; ++v) {
      copy_vector<Relu, Lanes>(first + v * Lanes, source + v * Lanes);
    }
    copy_vector<Relu, Lanes>(first + last, source + last);
    for (float* zero = first + copy.count; zero < target + length; ++zero) *zero = 0.0f;
  }
}

// Returns the copy for rows of a few vectors, or null.
template <bool Relu>
auto find_short(size_t count) -> void (*)(const RowCopy&) {
  constexpr int kHalf = kLanes > 4 ? kLanes / 2 : 4;
  if (count > 4 * kLanes || count < 4) return nullptr;
  if (count > 3 * kLanes) return copy_short_rows<Relu, kLanes, 4>;
  if (count > 2 * kLanes) return copy_short_rows<Relu, kLanes, 3>;
  if (count > kLanes) return copy_short_rows<Relu, kLanes, 2>;
  if (count == kLanes) return copy_short_rows<Relu, kLanes, 1>;
  if (count >= kHalf) return copy_short_rows<Relu, kHalf, 2>;
  return count < 8 ? copy_short_rows<Relu, 4, 2> : nullptr;
}

template <bool Relu>
void copy_all_rows(const RowCopy& copy) {
  if (copy.stride == 1) {
    if (const auto copy_short = find_short<Relu>(copy.count)) return copy_short(copy);
    copy_with_stride<Relu>(copy, 1);
  } else if (copy.stride == 2) {
    copy_with_stride<Relu>(copy, 2);
  } else {
    copy_with_stride<Relu>(copy, copy.stride);
  }
}

void copy_rows(const RowCopy& copy) {
  if (copy.relu) {
    copy_all_rows<true>(copy);
  } else {
    copy_all_rows<false>(copy);
  }
}

}  // namespace
}  // namespace edgewright
