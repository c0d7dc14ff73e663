// Depthwise convolution of small images, with channels as lanes: no standard library code
// (kernel.h).
//
// Rows of a few pixels would leave most lanes of a vector empty. So the images of as many
// channels as there are lanes are turned, pixel by pixel, into vectors of channels; rows of
// outputs then are computed without masks, and turned back.
#pragma once

#include "shuffle.h"
#include "vector.h"
#include "vector_activation.h"
#include "window_kernel.h"

namespace edgewright {
namespace {

template <int Lanes, int Step, bool Upper, int Lane>
constexpr int turned_lane() {
  // From the pair (a, b): a's lanes below, b's above, where `Step` is the bit that changes places.
  if constexpr ((Lane & Step) == 0) return Upper ? Lane + Step : Lane;
  return Lanes + (Upper ? Lane : Lane - Step);
}

template <int Lanes, int Step, bool Upper, int Count, int... Lane>
struct TurnedLanes : TurnedLanes<Lanes, Step, Upper, Count - 1,
                                 turned_lane<Lanes, Step, Upper, Count - 1>(), Lane...> {};

template <int Lanes, int Step, bool Upper, int... Lane>
struct TurnedLanes<Lanes, Step, Upper, 0, Lane...> {
  using type = LaneList<Lane...>;
};

// Transposes a square of vectors, bit by bit of the index.
template <int Lanes, int Step = Lanes / 2>
EDGEWRIGHT_INLINE void transpose(typename Vector<Lanes>::type* rows) {
  if constexpr (Step > 0) {
#pragma GCC unroll 16
    for (int i = 0; i < Lanes; ++i) {
      if ((i & Step) != 0) continue;
      const auto a = rows[i];
      const auto b = rows[i + Step];
      rows[i] = pick(a, b, typename TurnedLanes<Lanes, Step, false, Lanes>::type{});
      rows[i + Step] = pick(a, b, typename TurnedLanes<Lanes, Step, true, Lanes>::type{});
    }
    transpose<Lanes, Step / 2>(rows);
  }
}

// From one plane per channel to one vector per pixel.
inline void gather_channels(const ChannelWork& work) {
  using V = Vector<kLanes>::type;
  const V floor = work.style->floor - V{};
  for (size_t first = 0; first < work.input_plane; first += kLanes) {
    if (work.input_plane < kLanes) {
      for (size_t i = 0; i < work.input_plane; ++i) {
        V pixel{};
        for (int c = 0; c < kLanes; ++c) pixel[c] = work.input[c * work.input_plane + i];
        store<kLanes>(work.prepared + work.places[i], at_least(pixel, floor));
      }
      return;
    }
    // The last square overlaps the one before.
    const size_t last = work.input_plane - kLanes;
    const size_t start = first < last ? first : last;
    V square[kLanes];
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      square[c] = at_least(load<kLanes>(work.input + c * work.input_plane + start), floor);
    }
    transpose<kLanes>(square);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      store<kLanes>(work.prepared + work.places[start + i], square[i]);
    }
  }
}

inline void scatter_channels(const ChannelWork& work) {
  using V = Vector<kLanes>::type;
  if (work.output_plane < kLanes) {
    for (size_t i = 0; i < work.output_plane * kLanes; ++i) {
      work.output[i % kLanes * work.output_plane + i / kLanes] = work.results[i];
    }
    return;
  }
  const size_t last = work.output_plane - kLanes;
  for (size_t first = 0; first < work.output_plane; first += kLanes) {
    const size_t start = first < last ? first : last;
    V square[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) square[i] = load<kLanes>(work.results + (start + i) * kLanes);
    transpose<kLanes>(square);
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) {
      store<kLanes>(work.output + c * work.output_plane + start, square[c]);
    }
  }
}

// One row of outputs. `from` and `weights` belong to the first row of the window that is inside.
template <int Pixels, int Stride>
EDGEWRIGHT_INLINE void channel_row(const ChannelWork& work, const float* from,
                                   const float* weights, uint32_t window_rows, float* to) {
  using V = Vector<kLanes>::type;
  V sums[Pixels];
  const V bias = load<kLanes>(work.bias);
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) sums[p] = bias;
  for (uint32_t kx = 0; kx < work.kernel[1]; ++kx) {
    const float* x = from + size_t{kx} * work.dilation[1] * kLanes;
    const float* weight = weights + size_t{kx} * work.kernel[0] * kLanes;
    for (uint32_t ky = 0; ky < window_rows; ++ky, x += work.window_step, weight += kLanes) {
      const V factor = load<kLanes>(weight);
#pragma GCC unroll 8
      for (int p = 0; p < Pixels; ++p) sums[p] += factor * load<kLanes>(x + p * Stride * kLanes);
    }
  }
  const V lowest = work.style->lowest - V{};
  const V highest = work.style->highest - V{};
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) {
    store<kLanes>(to + p * kLanes, at_most(at_least(sums[p], lowest), highest));
  }
}

template <int Pixels, int Stride>
void convolve_channels(const ChannelWork& work) {
  gather_channels(work);
  float* to = work.results;
  for (uint32_t y = 0; y < work.out_height; ++y, to += Pixels * kLanes) {
    const ChannelRow& row = work.rows[y];
    channel_row<Pixels, Stride>(work, work.prepared + row.input,
                                work.weights + row.window_row * kLanes, row.window_rows, to);
  }
  if (work.style->curve != ActivationKind::kNone) {
    for (float* at = work.results; at < to; at += kLanes) {
      store<kLanes>(at, activate<kLanes>(work.style->curve, load<kLanes>(at)));
    }
  }
  scatter_channels(work);
}

template <int Pixels>
ChannelFunction find_channels_of(uint32_t width, uint32_t stride) {
  if constexpr (Pixels == 0) {
    return nullptr;
  } else {
    if (width != Pixels) return find_channels_of<Pixels - 1>(width, stride);
    if (stride == 1) return convolve_channels<Pixels, 1>;
    return stride == 2 ? convolve_channels<Pixels, 2> : nullptr;
  }
}

// Where rows are so short that a block would leave half of its lanes empty.
inline ChannelFunction find_channels(uint32_t width, uint32_t stride) {
  return find_channels_of<kLanes / 2>(width, stride);
}

}  // namespace
}  // namespace edgewright
