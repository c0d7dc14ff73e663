// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "window_kernel.h"

#include "channel_loop.h"
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
__attribute__((noinline)) void store_careful(const WindowBlock& block, const WindowStrip& strip,
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
EDGEWRIGHT_INLINE void store_rows(const WindowBlock& block, const WindowStrip& strip,
                                  const typename Vector<Lanes>::type* values) {
  float* to = block.output + strip.column;
  const float* last = to + (Rows - 1) * block.output_step;
  if (block.count == Rows && (strip.overrun == 0 || last + strip.overrun <= block.limit)) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r, to += block.output_step) store<Lanes>(to, values[r]);
  } else {
    typename Vector<Lanes>::type copies[Rows];  // only these live in memory
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) copies[r] = values[r];
    store_careful<Lanes>(block, strip, copies);
  }
}

template <int Lanes, int Rows>
EDGEWRIGHT_INLINE void finish(const WindowBlock& block, const WindowStrip& strip,
                              typename Vector<Lanes>::type* values) {
  using V = typename Vector<Lanes>::type;
  const WindowStyle& style = *block.style;
  const V lowest = broadcast<Lanes>(style.lowest);
  const V highest = broadcast<Lanes>(style.highest);
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) values[r] = at_most(at_least(values[r], lowest), highest);
  if (style.curve != ActivationKind::kNone) {
    V bent[Rows];  // only these live in memory
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) bent[r] = values[r];
    bend<Lanes>(style.curve, bent, Rows);
#pragma GCC unroll 8
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

// Column strides of 1, or of 2 where the taps of a row do not share vectors.
template <int Lanes, int Kernel, int RowStride, int ColumnStride, int Rows, bool General>
void convolve(const WindowBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  constexpr int InputRows = (Rows - 1) * RowStride + Kernel;
  const V floor = broadcast<Lanes>(block.style->floor);
  V sums[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
  size_t at = strip.input;
#pragma GCC unroll 1
  for (int kx = 0; kx < Kernel; ++kx, at += block.dilation) {
    V weights[Kernel];
    load_weights<Lanes, Kernel>(weights, block.weights + kx * Kernel);
    const Mask<WindowOp::kConvolve, Lanes> mask(strip.masks + kx * Lanes);
#pragma GCC unroll 32
    for (int i = 0; i < InputRows; ++i) {
      const float* from = block.rows[i] + at;
      V x = load<Lanes>(from);
      if constexpr (ColumnStride == 2) x = every_second<Lanes, 0>(x, load<Lanes>(from + Lanes));
      if constexpr (General) x = at_least(mask.apply(x), floor);
      EDGEWRIGHT_PIN(x);  // or the compiler reads it again for every row of the window
      add_row<Lanes, Kernel, RowStride, Rows>(sums, weights, x, i);
    }
  }
  finish<Lanes, Rows>(block, strip, sums);
}

// Stride 2 without dilation: two neighbouring columns of the window share two loads.
template <int Lanes, int Kernel, int Rows, bool General>
void convolve_pairs(const WindowBlock& block, const WindowStrip& strip) {
  using V = typename Vector<Lanes>::type;
  constexpr int InputRows = (Rows - 1) * 2 + Kernel;
  const V floor = broadcast<Lanes>(block.style->floor);
  V sums[Rows];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) sums[r] = broadcast<Lanes>(block.bias);
#pragma GCC unroll 4
  for (int kx = 0; kx < Kernel; kx += 2) {
    const bool pair = kx + 1 < Kernel;
    V even_weights[Kernel];
    V odd_weights[Kernel];
    load_weights<Lanes, Kernel>(even_weights, block.weights + kx * Kernel);
    load_weights<Lanes, Kernel>(odd_weights, block.weights + (pair ? kx + 1 : kx) * Kernel);
    const Mask<WindowOp::kConvolve, Lanes> even_mask(strip.masks + kx * Lanes);
    const Mask<WindowOp::kConvolve, Lanes> odd_mask(strip.masks + (pair ? kx + 1 : kx) * Lanes);
#pragma GCC unroll 32
    for (int i = 0; i < InputRows; ++i) {
      const float* from = block.rows[i] + strip.input + kx;
      const V first = load<Lanes>(from);
      const V second = load<Lanes>(from + Lanes);
      V even = every_second<Lanes, 0>(first, second);
      if constexpr (General) even = at_least(even_mask.apply(even), floor);
      EDGEWRIGHT_PIN(even);
      add_row<Lanes, Kernel, 2, Rows>(sums, even_weights, even, i);
      if (pair) {
        V odd = every_second<Lanes, 1>(first, second);
        if constexpr (General) odd = at_least(odd_mask.apply(odd), floor);
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
  if (key.kernel != 3 || key.row_stride != key.column_stride) return nullptr;
  return key.row_stride == 1 ? pool<Op, Lanes, 1, Rows> : pool<Op, Lanes, 2, Rows>;
}

template <int Lanes, int Kernel, int Rows, bool General>
BlockFunction find_strides(const BlockKey& key) {
  if (key.column_stride == 1) return convolve<Lanes, Kernel, 1, 1, Rows, General>;
  // Masks do no harm: one function is enough for the rare case.
  if (key.row_stride == 1) return convolve<Lanes, Kernel, 1, 2, Rows, true>;
  return convolve_pairs<Lanes, Kernel, Rows, General>;
}

template <int Lanes, int Rows>
BlockFunction find_convolution(const BlockKey& key) {
  if (key.kernel == 3) {
    return key.general ? find_strides<Lanes, 3, Rows, true>(key)
                       : find_strides<Lanes, 3, Rows, false>(key);
  }
  return key.general ? find_strides<Lanes, 5, Rows, true>(key)
                     : find_strides<Lanes, 5, Rows, false>(key);
}

template <int Lanes, int Rows>
BlockFunction find_op(const BlockKey& key) {
  if (key.op == WindowOp::kMaximum) return find_pool<WindowOp::kMaximum, Lanes, Rows>(key);
  if (key.op == WindowOp::kSum) return find_pool<WindowOp::kSum, Lanes, Rows>(key);
  return find_convolution<Lanes, Rows>(key);
}

template <int Lanes>
BlockFunction find_rows(const BlockKey& key) {
  if (key.rows == 2) return find_op<Lanes, 2>(key);
  if (key.rows == 4) return find_op<Lanes, 4>(key);
  if (key.rows == 7) return find_op<Lanes, 7>(key);
  if (key.rows == 8) return find_op<Lanes, 8>(key);
  return nullptr;
}

template <int Lanes>
BlockFunction find_lanes(const BlockKey& key) {
  if (key.lanes == Lanes) return find_rows<Lanes>(key);
  if constexpr (Lanes > 4) return find_lanes<Lanes / 2>(key);
  return nullptr;
}

BlockFunction find(const BlockKey& key) {
  const bool supported = (key.kernel == 3 || key.kernel == 5) && key.column_stride <= 2 &&
                         (key.row_stride == 1 || key.row_stride == key.column_stride);
  return supported ? find_lanes<kLanes>(key) : nullptr;
}

template <WindowOp Op>
inline Vector<kLanes>::type any_vector(const WindowPlane& plane, const float* from) {
  using V = Vector<kLanes>::type;
  if constexpr (Op == WindowOp::kConvolve) {
    V sum = broadcast<kLanes>(plane.bias);
    for (size_t tap = 0; tap < plane.taps; ++tap) {
      sum += plane.weights[tap] * load<kLanes>(from + plane.offsets[tap]);
    }
    sum = at_least(sum, broadcast<kLanes>(plane.style->lowest));
    sum = at_most(sum, broadcast<kLanes>(plane.style->highest));
    return activate<kLanes>(plane.style->curve, sum);
  } else {
    V result = load<kLanes>(from + plane.offsets[0]);
    for (size_t tap = 1; tap < plane.taps; ++tap) {
      result = combine<Op>(result, load<kLanes>(from + plane.offsets[tap]));
    }
    return result;
  }
}

template <WindowOp Op>
void any_window_of(const WindowPlane& plane) {
  float* to = plane.output;
  for (uint32_t y = 0; y < plane.height; ++y, to += plane.width) {
    for (uint32_t x = 0; x < plane.width; x += kLanes) {
      auto result = any_vector<Op>(plane, plane.input + y * plane.input_step + x);
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

void any_window(WindowOp op, const WindowPlane& plane) {
  if (op == WindowOp::kConvolve) return any_window_of<WindowOp::kConvolve>(plane);
  if (op == WindowOp::kMaximum) return any_window_of<WindowOp::kMaximum>(plane);
  any_window_of<WindowOp::kSum>(plane);
}

void prepare(const WindowView& view) {
  float* to = view.target;
  for (int64_t row = 0; row < view.rows; ++row, to += view.columns) {
    const int64_t y = view.top + row;
    const bool inside = y >= 0 && y < view.height;
    for (int64_t i = 0; i < view.columns; ++i) {
      const int64_t x = view.left + i * view.stride;
      if (!inside || x < 0 || x >= view.width) {
        to[i] = view.neutral;
      } else {
        const float value = view.source[y * view.width + x];
        to[i] = view.floor > value ? view.floor : value;
      }
    }
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
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += all[lane];
  for (; i < count; ++i) total += data[i];
  return total;
}

}  // namespace

#define EDGEWRIGHT_TEXT2(x) #x
#define EDGEWRIGHT_TEXT(x) EDGEWRIGHT_TEXT2(x)
#define EDGEWRIGHT_WINDOW2(x) x##Window
#define EDGEWRIGHT_WINDOW(x) EDGEWRIGHT_WINDOW2(x)

extern const WindowSet EDGEWRIGHT_WINDOW(EDGEWRIGHT_SET);
const WindowSet EDGEWRIGHT_WINDOW(EDGEWRIGHT_SET) = {EDGEWRIGHT_TEXT(EDGEWRIGHT_SET), kLanes, find,
                                                     find_channels, any_window, prepare, sum};

}  // namespace edgewright
