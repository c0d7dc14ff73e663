// Vectors of the instruction set that a file is compiled for: no standard library code (kernel.h).
#pragma once

#if defined(__AVX512F__)
#define EDGEWRIGHT_PIN(x) asm("" : "+v"(x))
#elif defined(__x86_64__)
#define EDGEWRIGHT_PIN(x) asm("" : "+x"(x))
#elif defined(__aarch64__)
#define EDGEWRIGHT_PIN(x) asm("" : "+w"(x))
#else
#define EDGEWRIGHT_PIN(x)
#endif

namespace edgewright {
namespace {  // every instruction set has a copy of its own

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

template <int Lanes>
struct Vector {
  typedef float type __attribute__((vector_size(Lanes * sizeof(float))));
  typedef float unaligned __attribute__((vector_size(Lanes * sizeof(float)), aligned(4),
                                         may_alias));
};

template <int Lanes>
inline typename Vector<Lanes>::type load(const float* from) {
  return *reinterpret_cast<const typename Vector<Lanes>::unaligned*>(from);
}

template <int Lanes>
inline void store(float* to, typename Vector<Lanes>::type value) {
  *reinterpret_cast<typename Vector<Lanes>::unaligned*>(to) = value;
}

}  // namespace
}  // namespace edgewright
