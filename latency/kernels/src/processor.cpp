// Asked of the processor itself: `__builtin_cpu_supports` relies on the run-time library of the
// compiler, and the one that wheels are built with (Zig's) answers no to everything.
#include "processor.h"

#if defined(EDGEWRIGHT_X86)
#include <cpuid.h>

#include <cstdint>
#endif

namespace edgewright {

#if defined(EDGEWRIGHT_X86)
namespace {

// Intel's Software Developer's Manual, volume 2, CPUID; volume 1, 13.3 for XCR0.
constexpr uint32_t kLeafFeatures = 1, kLeafExtended = 7;
constexpr uint32_t kFma = 1u << 12, kXgetbv = 1u << 27, kAvx = 1u << 28;  // ecx of leaf 1
constexpr uint32_t kAvx2Bit = 1u << 5, kAvx512f = 1u << 16;               // ebx of leaf 7
constexpr uint32_t kYmm = 0x06, kZmm = 0xe6;  // states that the operating system saves

bool has(uint32_t bits, uint32_t wanted) { return (bits & wanted) == wanted; }

uint32_t saved_states() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

}  // namespace

Processor this_processor() {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(kLeafFeatures, &eax, &ebx, &ecx, &edx)) return {};
  if (!has(ecx, kFma | kXgetbv | kAvx)) return {};
  const uint32_t states = saved_states();
  if (!__get_cpuid_count(kLeafExtended, 0, &eax, &ebx, &ecx, &edx)) return {};
  const bool avx2 = has(ebx, kAvx2Bit) && has(states, kYmm);
  return {avx2, avx2 && has(ebx, kAvx512f) && has(states, kZmm)};
}
#else
Processor this_processor() { return {}; }
#endif

}  // namespace edgewright
