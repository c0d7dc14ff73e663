// Vectors of floats, as the compiler's extensions give them, and what this instruction set holds.
//
// Only for files that are compiled once per instruction set. No standard library code here: the
// linker might keep its AVX-512 copy for everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__AVX512F__)
#define EDGEWRIGHT_PIN(x) asm("" : "+v"(x))
#elif defined(__x86_64__)
#define EDGEWRIGHT_PIN(x) asm("" : "+x"(x))
#elif defined(__aarch64__)
#define EDGEWRIGHT_PIN(x) asm("" : "+w"(x))
#else
#define EDGEWRIGHT_PIN(x)
#endif

#define EDGEWRIGHT_INLINE inline __attribute__((always_inline))

namespace edgewright {
namespace {

// Accumulators (rows x vectors), one loaded vector per column and a weight must fit the registers.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kSingle = 12;
constexpr int kBlock = 6;
constexpr int kTail = 5;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kSingle = 8;
constexpr int kBlock = 3;
constexpr int kTail = 2;
#elif defined(__aarch64__)
constexpr int kLanes = 4;
constexpr int kSingle = 12;
constexpr int kBlock = 6;
constexpr int kTail = 0;  // a vector has four lanes: a tail would save nothing
#else
constexpr int kLanes = 4;
constexpr int kSingle = 6;
constexpr int kBlock = 2;
constexpr int kTail = 0;
#endif

template <int Lanes>
struct Vector {
  typedef float type __attribute__((vector_size(Lanes * sizeof(float))));
  typedef int32_t integers __attribute__((vector_size(Lanes * sizeof(int32_t))));
  typedef float unaligned __attribute__((vector_size(Lanes * sizeof(float)), aligned(4),
                                         may_alias));
  typedef int32_t unaligned_integers __attribute__((vector_size(Lanes * sizeof(int32_t)),
                                                    aligned(4), may_alias));
};

template <int Lanes>
EDGEWRIGHT_INLINE typename Vector<Lanes>::type load(const float* from) {
  return *reinterpret_cast<const typename Vector<Lanes>::unaligned*>(from);
}

template <int Lanes>
EDGEWRIGHT_INLINE void store(float* to, typename Vector<Lanes>::type value) {
  *reinterpret_cast<typename Vector<Lanes>::unaligned*>(to) = value;
}

template <int Lanes>
EDGEWRIGHT_INLINE typename Vector<Lanes>::integers load_integers(const int32_t* from) {
  return *reinterpret_cast<const typename Vector<Lanes>::unaligned_integers*>(from);
}

// Both keep a NaN in `value` and limit everything else.
template <typename V>
EDGEWRIGHT_INLINE V at_least(V value, V limit) {
  return limit > value ? limit : value;
}

template <typename V>
EDGEWRIGHT_INLINE V at_most(V value, V limit) {
  return limit < value ? limit : value;
}

// Lane i of the result is lane index[i] of `first` and `second` laid end to end.
template <int Lanes>
EDGEWRIGHT_INLINE typename Vector<Lanes>::type pick(typename Vector<Lanes>::type first,
                                                    typename Vector<Lanes>::type second,
                                                    typename Vector<Lanes>::integers index) {
#if defined(__clang__)
  typename Vector<Lanes>::type result{};
  for (int i = 0; i < Lanes; ++i) {
    result[i] = index[i] < Lanes ? first[index[i]] : second[index[i] - Lanes];
  }
  return result;
#else
  return __builtin_shuffle(first, second, index);
#endif
}

}  // namespace
}  // namespace edgewright
