// Vectors that are taken apart: no standard library code (kernel.h).
#pragma once

#include "vector.h"

namespace edgewright {
namespace {

template <int... Lane>
struct LaneList {};

template <int Count, int First, int Step, int... Lane>
struct MakeLanes : MakeLanes<Count - 1, First, Step, First + (Count - 1) * Step, Lane...> {};

template <int First, int Step, int... Lane>
struct MakeLanes<0, First, Step, Lane...> {
  using type = LaneList<Lane...>;
};

template <typename V, int... Lane>
inline auto pick(V a, V b, LaneList<Lane...>) {
  return __builtin_shufflevector(a, b, Lane...);
}

// Lanes First, First + 2, First + 4, ... of the two vectors behind each other.
template <int Lanes, int First, typename V>
inline V every_second(V a, V b) {
  return pick(a, b, typename MakeLanes<Lanes, First, 2>::type{});
}

template <int Lanes, typename V>
inline auto lower_half(V a) {
  return pick(a, a, typename MakeLanes<Lanes / 2, 0, 1>::type{});
}

template <int Lanes, typename V>
inline auto upper_half(V a) {
  return pick(a, a, typename MakeLanes<Lanes / 2, Lanes / 2, 1>::type{});
}

// Stores the first `width` lanes; fewer than there are.
template <int Lanes, typename V>
inline void store_part(float* to, V value, unsigned width) {
  if constexpr (Lanes > 1) {
    if (width >= Lanes / 2) {
      store<Lanes / 2>(to, lower_half<Lanes>(value));
      store_part<Lanes / 2>(to + Lanes / 2, upper_half<Lanes>(value), width - Lanes / 2);
    } else {
      store_part<Lanes / 2>(to, lower_half<Lanes>(value), width);
    }
  }
}

}  // namespace
}  // namespace edgewright
