// Depthwise convolution of prepared planes: no standard library code (kernel.h).
//
// An image is copied once, with its padding, clamped if it is to be, and split by the stride. What
// is left is loads and products: no masks, no shuffles. It pays where a value is read often (5x5),
// where it would be shuffled (strides), and where few taps are left: they then are a list.
#pragma once

#include "block_loop.h"
#include "shuffle.h"
#include "vector.h"
#include "window_kernel.h"

namespace edgewright {
namespace {

// Registers for fourteen sums, five weights and a value.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr bool kHasManyRows = true;
#else
constexpr bool kHasManyRows = false;
#endif

using Whole = Vector<kLanes>::type;

using WholeMask = Vector<kLanes>::integers;

EDGEWRIGHT_INLINE Whole cut(Whole x, WholeMask mask) {
  Whole result = reinterpret_cast<Whole>(reinterpret_cast<WholeMask>(x) & mask);
  EDGEWRIGHT_PIN(result);  // or a maximum that follows becomes a comparison and a masked move
  return result;
}

// Copies what a row ends with, so that whole vectors of it can be read.
inline void copy_end(float* to, const float* from, const float* limit, size_t count) {
  for (size_t i = 0; i < count; ++i) to[i] = from + i < limit ? from[i] : 0;
}

struct Halves {
  Whole even;
  Whole odd;
};

EDGEWRIGHT_INLINE Halves load_halves(const float* from) {
  const Whole a = load<kLanes>(from);
  const Whole b = load<kLanes>(from + kLanes);
  return {every_second<kLanes, 0>(a, b), every_second<kLanes, 1>(a, b)};
}

// Where a last vector, or two, can be read from.
template <int Count>
EDGEWRIGHT_INLINE const float* readable_end(const float* from, const float* limit, float* copy) {
  if (__builtin_expect(from + Count <= limit, 1)) return from;
  copy_end(copy, from, limit, Count);
  return copy;
}

// Rows of whole vectors, of any number of lanes.
template <int Lanes>
void prepare_whole(const PlaneRows& rows) {
  const auto floor = broadcast<Lanes>(rows.floor);
  const float* from = rows.source + rows.begin * rows.width;
  float* to = rows.targets[0] + rows.begin * rows.pitch;
  for (size_t row = rows.begin; row < rows.end; ++row, from += rows.width, to += rows.pitch) {
    for (size_t x = 0; x < rows.width; x += Lanes) {
      store<Lanes>(to + x, at_least(load<Lanes>(from + x), floor));
    }
  }
}

inline void prepare_plain(const PlaneRows& rows) {
  if (rows.width % kLanes == 0) return prepare_whole<kLanes>(rows);
  if (rows.width == kLanes / 2) return prepare_whole<kLanes / 2>(rows);
  const Whole floor = broadcast<kLanes>(rows.floor);
  const WholeMask mask = load_integers<kLanes>(rows.masks);
  const float* const limit = rows.limit;
  const size_t pitch = rows.pitch;
  const size_t width = rows.width;
  const size_t whole = width / kLanes * kLanes;
  const float* from = rows.source + rows.begin * width;
  float* to = rows.targets[0] + rows.begin * pitch;
  for (size_t row = rows.begin; row < rows.end; ++row, from += width, to += pitch) {
    for (size_t x = 0; x < whole; x += kLanes) {
      store<kLanes>(to + x, at_least(load<kLanes>(from + x), floor));
    }
    if (whole == width) continue;
    float copy[kLanes];
    const float* end = readable_end<kLanes>(from + whole, limit, copy);
    store<kLanes>(to + whole, at_least(cut(load<kLanes>(end), mask), floor));
  }
}

// Even columns to the first target, odd ones to the second.
template <bool Even, bool Odd>
void prepare_halves(const PlaneRows& rows) {
  const Whole floor = broadcast<kLanes>(rows.floor);
  const WholeMask even_mask = load_integers<kLanes>(rows.masks);
  const WholeMask odd_mask = load_integers<kLanes>(rows.masks + kLanes);
  const float* const limit = rows.limit;
  const size_t pitch = rows.pitch;
  const size_t width = rows.width;
  const size_t whole = width / (2 * kLanes) * kLanes;
  const float* from = rows.source + rows.begin * width;
  float* even = Even ? rows.targets[0] + rows.begin * pitch : nullptr;
  float* odd = Odd ? rows.targets[1] + rows.begin * pitch : nullptr;
  for (size_t row = rows.begin; row < rows.end; ++row, from += width) {
    for (size_t x = 0; x < whole; x += kLanes) {
      const Halves halves = load_halves(from + 2 * x);
      if (Even) store<kLanes>(even + x, at_least(halves.even, floor));
      if (Odd) store<kLanes>(odd + x, at_least(halves.odd, floor));
    }
    if (2 * whole < width) {
      float copy[2 * kLanes];
      const Halves halves = load_halves(readable_end<2 * kLanes>(from + 2 * whole, limit, copy));
      if (Even) store<kLanes>(even + whole, at_least(cut(halves.even, even_mask), floor));
      if (Odd) store<kLanes>(odd + whole, at_least(cut(halves.odd, odd_mask), floor));
    }
    if (Even) even += pitch;
    if (Odd) odd += pitch;
  }
}

inline void prepare_strided(const PlaneRows& rows) {
  for (uint32_t remainder = 0; remainder < rows.stride; ++remainder) {
    if (rows.targets[remainder] == nullptr) continue;
    float* to = rows.targets[remainder] + rows.begin * rows.pitch;
    const float* from = rows.source + rows.begin * rows.width;
    for (size_t row = rows.begin; row < rows.end; ++row, from += rows.width, to += rows.pitch) {
      size_t i = 0;
      for (size_t x = remainder; x < rows.width; x += rows.stride, ++i) {
        to[i] = rows.floor > from[x] ? rows.floor : from[x];
      }
    }
  }
}

inline void prepare_rows(const PlaneRows& rows) {
  if (rows.stride > 2) return prepare_strided(rows);
  if (rows.stride == 1) return prepare_plain(rows);
  if (rows.targets[1] == nullptr) return prepare_halves<true, false>(rows);
  if (rows.targets[0] == nullptr) return prepare_halves<false, true>(rows);
  prepare_halves<true, true>(rows);
}

// All taps of a square window.
template <int Lanes, int Kernel, int Stride, int Rows>
void convolve_plane(const PlaneBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  V sums[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
#pragma GCC unroll 1
  for (int kx = 0; kx < Kernel; ++kx) {
    V weights[Kernel];
    load_weights<Lanes, Kernel>(weights, block.weights + kx * Kernel);
    const float* from = block.input + strip.column + block.offsets[kx];
#pragma GCC unroll 40
    for (int i = 0; i < (Rows - 1) * Stride + Kernel; ++i, from += block.step) {
      V x = load<Lanes>(from);
      EDGEWRIGHT_PIN(x);  // or the compiler reads it again for every row of the window
      add_row<Lanes, Kernel, Stride, Rows>(sums, weights, x, i);
    }
  }
  finish<Lanes, Rows>(block, strip, sums);
}

// The taps of a list.
template <int Lanes, int Rows>
void convolve_taps(const PlaneBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  V sums[Rows];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
  const float* input = block.input + strip.column;
  for (size_t tap = 0; tap < block.taps; ++tap) {
    const V weight = broadcast<Lanes>(block.weights[tap]);
    const float* from = input + block.offsets[tap];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r, from += block.step) sums[r] += weight * load<Lanes>(from);
  }
  finish<Lanes, Rows>(block, strip, sums);
}

template <int Lanes, int Kernel, int Rows>
PlaneFunction find_stride(const PlaneKey& key) {
  return key.stride == 1 ? convolve_plane<Lanes, Kernel, 1, Rows>
                         : convolve_plane<Lanes, Kernel, 2, Rows>;
}

template <int Lanes>
PlaneFunction find_small(const PlaneKey& key) {
  if (key.rows == 2) return find_stride<Lanes, 3, 2>(key);
  if (key.rows == 4) return find_stride<Lanes, 3, 4>(key);
  if (key.rows == 7) return find_stride<Lanes, 3, 7>(key);
  if (key.rows == 8) return find_stride<Lanes, 3, 8>(key);
  if constexpr (kHasManyRows) {
    if (key.rows == 14 && key.stride == 1) return convolve_plane<Lanes, 3, 1, 14>;
  }
  return nullptr;
}

template <int Lanes>
PlaneFunction find_large(const PlaneKey& key) {
  if (key.rows == 2) return find_stride<Lanes, 5, 2>(key);
  if (key.rows == 4) return find_stride<Lanes, 5, 4>(key);
  return key.rows == 8 ? find_stride<Lanes, 5, 8>(key) : nullptr;
}

template <int Lanes>
PlaneFunction find_listed(const PlaneKey& key) {
  if (key.rows == 2) return convolve_taps<Lanes, 2>;
  if (key.rows == 4) return convolve_taps<Lanes, 4>;
  if (key.rows == 8) return convolve_taps<Lanes, 8>;
  return key.rows == 16 ? convolve_taps<Lanes, 16> : nullptr;
}

template <int Lanes>
PlaneFunction find_plane_of(const PlaneKey& key) {
  if (key.lanes == Lanes) {
    if (key.kernel == 0) return find_listed<Lanes>(key);
    return key.kernel == 3 ? find_small<Lanes>(key) : find_large<Lanes>(key);
  }
  if constexpr (Lanes > 4) return find_plane_of<Lanes / 2>(key);
  return nullptr;
}

inline PlaneFunction find_plane(const PlaneKey& key) {
  const bool known = key.kernel == 0 || key.kernel == 3 || key.kernel == 5;
  return known && key.stride <= 2 ? find_plane_of<kLanes>(key) : nullptr;
}

}  // namespace
}  // namespace edgewright
