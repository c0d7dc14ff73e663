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

template <bool Relu>
void copy_all_rows(const RowCopy& copy) {
  if (copy.stride == 1) {
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
