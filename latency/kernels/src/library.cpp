// The entry point of the library: which operators it has, and for which instruction set.
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "conv.h"
#include "depthwise.h"
#include "operator.h"
#include "ort_api.h"
#include "pool.h"
#include "processor.h"

namespace edgewright {

extern const InstructionSet kPortable;
#if defined(EDGEWRIGHT_X86)
extern const InstructionSet kAvx2;
extern const InstructionSet kAvx512;
#endif

namespace {

constexpr const char* kDomain = "ai.edgewright";
constexpr const char* kNoSet = "";

const InstructionSet* supported_set(const std::string& wanted) {
#if defined(EDGEWRIGHT_X86)
  const Processor processor = this_processor();
  if (processor.avx512 && (wanted.empty() || wanted == kAvx512.name)) return &kAvx512;
  if (processor.avx2 && (wanted.empty() || wanted == kAvx2.name)) return &kAvx2;
#endif
  return wanted.empty() || wanted == kPortable.name ? &kPortable : nullptr;
}

// The best one of this processor, chosen when the library is registered for the first time.
const InstructionSet& chosen_set() {
  static const InstructionSet* const set = [] {
    // For tests and measurements of the narrower sets on a wider machine.
    const char* wanted = std::getenv("EDGEWRIGHT_KERNELS_SET");
    return supported_set(wanted == nullptr ? kNoSet : wanted);
  }();
  if (set == nullptr) {
    throw std::invalid_argument("EDGEWRIGHT_KERNELS_SET names no instruction set of this machine");
  }
  return *set;
}

// The domain and its operators live as long as the process: a second session gets the same ones.
OrtCustomOpDomain* make_domain() {
  OrtCustomOpDomain* domain = nullptr;
  check(api().CreateCustomOpDomain(kDomain, &domain));
  add_operators(domain, conv_operators(chosen_set()));
  const WindowSet& windows = window_set(chosen_set().name);
  add_operators(domain, depthwise_operators(windows));
  add_operators(domain, pool_operators(windows));
  return domain;
}

void register_operators(OrtSessionOptions* options) {
  static OrtCustomOpDomain* const domain = make_domain();
  check(api().AddCustomOpDomain(options, domain));
}

}  // namespace
}  // namespace edgewright

#define EDGEWRIGHT_EXPORT extern "C" __attribute__((visibility("default")))

EDGEWRIGHT_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options,
                                               const OrtApiBase* base) {
  using edgewright::load_api;
  if (!load_api(base)) {
    // Without its table nothing can be reported in the new way; version 1 has CreateStatus.
    using Create = OrtStatus* (*)(int, const char*);
    const auto table = static_cast<const void* const*>(base->GetApi(1));
    const auto create = reinterpret_cast<Create>(const_cast<void*>(table[0]));
    return create(edgewright::kFail, "ai.edgewright needs ONNX Runtime 1.17 or newer");
  }
  try {
    edgewright::register_operators(options);
    return nullptr;
  } catch (const std::exception& error) {
    return edgewright::api().CreateStatus(edgewright::kFail, error.what());
  }
}

// Interface version and digest of the sources: another version may be faster or slower.
EDGEWRIGHT_EXPORT const char* edgewright_version() { return EDGEWRIGHT_VERSION; }

// The instruction set that kernels are run with on this machine.
EDGEWRIGHT_EXPORT const char* edgewright_instruction_set() {
  try {
    return edgewright::chosen_set().name;
  } catch (const std::exception&) {
    return edgewright::kNoSet;
  }
}

// The names of the operators that sessions have of this library, a line each; none before it is
// registered for the first time. Valid until the next call.
EDGEWRIGHT_EXPORT const char* edgewright_operators() {
  static std::string names;
  names = edgewright::operator_names();
  return names.c_str();
}
