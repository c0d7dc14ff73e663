// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "window_kernel.h"

#include "block_loop.h"
#include "channel_loop.h"
#include "plane_loop.h"
#include "shuffle.h"
#include "vector.h"
#include "vector_activation.h"

namespace edgewright {
namespace {

constexpr float kInfinity = __builtin_inff();

// Cuts off the lanes that are outside of the image.
template <WindowOp Op, int Lanes>
struct Mask {
  using V = typename Vector<Lanes>::type;
  using B = typename Vector<Lanes>::integers;
  B inside;
  B neutral;

  explicit Mask(const int32_t* from) : inside(load_integers<Lanes>(from)) {
    if constexpr (Op == WindowOp::kMaximum) {
      neutral = ~inside & reinterpret_cast<B>(V{} - kInfinity);
    }
  }

  V apply(V x) const {
    B bits = reinterpret_cast<B>(x) & inside;
    if constexpr (Op == WindowOp::kMaximum) bits |= neutral;
    V result = reinterpret_cast<V>(bits);
    // Or the compiler merges a maximum that follows into a comparison and a second masked load.
    EDGEWRIGHT_PIN(result);
    return result;
  }
};

// 3x3 without stride.
template <int Lanes, int Rows, bool Masked>
void convolve(const WindowBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  constexpr int Kernel = 3;
  V sums[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
#pragma GCC unroll 1
  for (int kx = 0; kx < Kernel; ++kx) {
    V weights[Kernel];
    load_weights<Lanes, Kernel>(weights, block.weights + kx * Kernel);
    const Mask<WindowOp::kConvolve, Lanes> mask(strip.masks + kx * Lanes);
#pragma GCC unroll 32
    for (int i = 0; i < Rows - 1 + Kernel; ++i) {
      V x = load<Lanes>(block.rows[i] + strip.input + kx);
      if constexpr (Masked) x = mask.apply(x);
      EDGEWRIGHT_PIN(x);  // or the compiler reads it again for every row of the window
      add_row<Lanes, Kernel, 1, Rows>(sums, weights, x, i);
    }
  }
  finish<Lanes, Rows>(block, strip, sums);
}

// 3x3 with a stride of 2: two neighbouring columns of the window share two loads.
template <int Lanes, int Rows, bool Masked>
void convolve_pairs(const WindowBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  constexpr int Kernel = 3;
  V sums[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
#pragma GCC unroll 2
  for (int kx = 0; kx < Kernel; kx += 2) {
    const bool pair = kx == 0;
    V even_weights[Kernel];
    V odd_weights[Kernel];
    load_weights<Lanes, Kernel>(even_weights, block.weights + kx * Kernel);
    load_weights<Lanes, Kernel>(odd_weights, block.weights + Kernel);
    const Mask<WindowOp::kConvolve, Lanes> even_mask(strip.masks + kx * Lanes);
    const Mask<WindowOp::kConvolve, Lanes> odd_mask(strip.masks + Lanes);
#pragma GCC unroll 32
    for (int i = 0; i < (Rows - 1) * 2 + Kernel; ++i) {
      const float* from = block.rows[i] + strip.input + kx;
      const V first = load<Lanes>(from);
      const V second = load<Lanes>(from + Lanes);
      V even = every_second<Lanes, 0>(first, second);
      if constexpr (Masked) even = even_mask.apply(even);
      EDGEWRIGHT_PIN(even);
      add_row<Lanes, Kernel, 2, Rows>(sums, even_weights, even, i);
      if (pair) {
        V odd = every_second<Lanes, 1>(first, second);
        if constexpr (Masked) odd = odd_mask.apply(odd);
        EDGEWRIGHT_PIN(odd);
        add_row<Lanes, Kernel, 2, Rows>(sums, odd_weights, odd, i);
      }
    }
  }
  finish<Lanes, Rows>(block, strip, sums);
}

template <WindowOp Op, typename V>
inline V combine(V a, V b) {
  if constexpr (Op == WindowOp::kSum) return a + b;
  return a > b ? a : b;  // b where one of them is a NaN
}

template <WindowOp Op, int Lanes, int Stride>
EDGEWRIGHT_INLINE typename Vector<Lanes>::type pool_row(
    const float* from, const Mask<Op, Lanes>* masks) {
  using V = typename Vector<Lanes>::type;
  V x[3];
#pragma GCC unroll 3
  for (int kx = 0; kx < 3; ++kx) {
    x[kx] = load<Lanes>(from + kx);
    if constexpr (Stride == 2) {
      x[kx] = every_second<Lanes, 0>(x[kx], load<Lanes>(from + kx + Lanes));
    }
    x[kx] = masks[kx].apply(x[kx]);
  }
  return combine<Op>(combine<Op>(x[0], x[1]), x[2]);
}

// 3x3 without dilation: along the rows first, then down the columns.
template <WindowOp Op, int Lanes, int Stride, int Rows>
void pool(const WindowBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  constexpr int InputRows = (Rows - 1) * Stride + 3;
  const Mask<Op, Lanes> masks[3] = {Mask<Op, Lanes>(strip.masks),
                                    Mask<Op, Lanes>(strip.masks + Lanes),
                                    Mask<Op, Lanes>(strip.masks + 2 * Lanes)};
  V results[Rows];
#pragma GCC unroll 32
  for (int i = 0; i < InputRows; ++i) {
    const V x = pool_row<Op, Lanes, Stride>(block.rows[i] + strip.input, masks);
#pragma GCC unroll 3
    for (int ky = 0; ky < 3; ++ky) {
      const int below = i - ky;
      if (below < 0 || below % Stride != 0 || below / Stride >= Rows) continue;
      const int r = below / Stride;
      results[r] = ky == 0 ? x : combine<Op>(results[r], x);
    }
  }
  if constexpr (Op == WindowOp::kSum) {
    const V scale = load<Lanes>(strip.scale);
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) results[r] *= scale * block.row_scale[r];
  }
  store_rows<Lanes, Rows>(block, strip, results);
}

template <WindowOp Op, int Lanes, int Rows>
BlockFunction find_pool(const BlockKey& key) {
  return key.stride == 1 ? pool<Op, Lanes, 1, Rows> : pool<Op, Lanes, 2, Rows>;
}

template <int Lanes, int Rows>
BlockFunction find_op(const BlockKey& key) {
  if (key.op == WindowOp::kMaximum) return find_pool<WindowOp::kMaximum, Lanes, Rows>(key);
  if (key.op == WindowOp::kSum) return find_pool<WindowOp::kSum, Lanes, Rows>(key);
  if (key.stride == 2) {
    return key.masked ? convolve_pairs<Lanes, Rows, true> : convolve_pairs<Lanes, Rows, false>;
  }
  return key.masked ? convolve<Lanes, Rows, true> : convolve<Lanes, Rows, false>;
}

template <int Lanes>
BlockFunction find_block_of(const BlockKey& key) {
  if (key.lanes == Lanes) {
    if (key.rows == 4) return find_op<Lanes, 4>(key);
    if (key.rows == 7) return find_op<Lanes, 7>(key);
    return key.rows == 8 ? find_op<Lanes, 8>(key) : nullptr;
  }
  if constexpr (Lanes > 4) return find_block_of<Lanes / 2>(key);
  return nullptr;
}

BlockFunction find_block(const BlockKey& key) {
  return find_block_of<kLanes>(key);
}

template <WindowOp Op>
void any_pool_of(const PoolPlane& plane) {
  float* to = plane.output;
  for (uint32_t y = 0; y < plane.height; ++y, to += plane.width) {
    for (uint32_t x = 0; x < plane.width; x += kLanes) {
      const float* from = plane.input + y * plane.input_step + x;
      auto result = load<kLanes>(from + plane.offsets[0]);
      for (size_t tap = 1; tap < plane.taps; ++tap) {
        result = combine<Op>(result, load<kLanes>(from + plane.offsets[tap]));
      }
      if constexpr (Op == WindowOp::kSum) {
        result *= load<kLanes>(plane.column_scale + x) * plane.row_scale[y];
      }
      if (plane.width - x < kLanes) {
        store_part<kLanes>(to + x, result, plane.width - x);
      } else {
        store<kLanes>(to + x, result);
      }
    }
  }
}

void any_pool(WindowOp op, const PoolPlane& plane) {
  if (op == WindowOp::kMaximum) return any_pool_of<WindowOp::kMaximum>(plane);
  any_pool_of<WindowOp::kSum>(plane);
}

void prepare_pool(const WindowView& view) {
  float* to = view.target;
  for (int64_t row = 0; row < view.rows; ++row, to += view.columns) {
    const int64_t y = view.top + row;
    const bool inside = y >= 0 && y < view.height;
    for (int64_t i = 0; i < view.columns; ++i) {
      const int64_t x = view.left + i * view.stride;
      const bool read = inside && x >= 0 && x < view.width;
      to[i] = read ? view.source[y * view.width + x] : view.neutral;
    }
  }
}

template <int Lanes>
EDGEWRIGHT_INLINE float sum_of_lanes(typename Vector<Lanes>::type value) {
  if constexpr (Lanes == 1) {
    return value[0];
  } else {
    return sum_of_lanes<Lanes / 2>(lower_half<Lanes>(value) + upper_half<Lanes>(value));
  }
}

float sum(const float* data, size_t count) {
  using V = Vector<kLanes>::type;
  constexpr size_t kStep = 4 * kLanes;
  V sums[4] = {};
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
#pragma GCC unroll 4
    for (size_t part = 0; part < 4; ++part) sums[part] += load<kLanes>(data + i + part * kLanes);
  }
  for (; i + kLanes <= count; i += kLanes) sums[0] += load<kLanes>(data + i);
  const V all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float total = sum_of_lanes<kLanes>(all);
  for (; i < count; ++i) total += data[i];
  return total;
}

}  // namespace

#define EDGEWRIGHT_TEXT2(x) #x
#define EDGEWRIGHT_TEXT(x) EDGEWRIGHT_TEXT2(x)
#define EDGEWRIGHT_WINDOW2(x) x##Window
#define EDGEWRIGHT_WINDOW(x) EDGEWRIGHT_WINDOW2(x)

extern const WindowSet EDGEWRIGHT_WINDOW(EDGEWRIGHT_SET);
const WindowSet EDGEWRIGHT_WINDOW(EDGEWRIGHT_SET) = {
    EDGEWRIGHT_TEXT(EDGEWRIGHT_SET), kLanes, kHasManyRows, find_block, find_plane,
    find_channels, any_pool, prepare_pool, prepare_rows, sum};

}  // namespace edgewright
