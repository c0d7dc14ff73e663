// What the runtime sees: the entry point, the operators and their C interface.
#include <cstdlib>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>

#include "conv.h"
#include "ort_api.h"

namespace edgewright {

extern const InstructionSet kPortable;
#if defined(EDGEWRIGHT_X86)
extern const InstructionSet kAvx2;
extern const InstructionSet kAvx512;
#endif

namespace {

constexpr const char* kDomain = "ai.edgewright";
constexpr const char* kNoSet = "";
enum Input : size_t { kX, kValues, kIndices, kBias, kNumInputs };

const InstructionSet* supported_set(const std::string& wanted) {
#if defined(EDGEWRIGHT_X86)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f");
  if (avx512 && (wanted.empty() || wanted == kAvx512.name)) return &kAvx512;
  if (avx2 && (wanted.empty() || wanted == kAvx2.name)) return &kAvx2;
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

OrtStatus* failure(int code, const std::string& message) {
  return api().CreateStatus(code, ("ai.edgewright: " + message).c_str());
}

// A kernel with the name of its node, for messages.
struct Node {
  std::string name;
  SparseConv conv;
};

LayerSource read_layer(const OrtKernelInfo* info) {
  LayerSource source;
  source.weight_shape = attribute(info, "weight_shape", 4);
  source.strides = attribute(info, "strides", 2);
  source.dilations = attribute(info, "dilations", 2);
  source.pads = attribute(info, "pads", 4);
  source.values = constant_input(info, kValues, "values", kFloat);
  source.indices = constant_input(info, kIndices, "indices", kInt32);
  source.bias = constant_input(info, kBias, "bias", kFloat);
  return source;
}

OrtStatus* create(const OrtKernelInfo* info, float lowest, void** kernel) {
  std::string name = "?";
  try {
    name = node_name(info);
    *kernel = new Node{name, SparseConv(pack_layer(read_layer(info)), chosen_set(), lowest)};
    return nullptr;
  } catch (const std::exception& error) {
    return failure(kInvalidArgument, "node '" + name + "': " + error.what());
  }
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  auto& node = *static_cast<Node*>(kernel);
  try {
    node.conv.compute(context);
    return nullptr;
  } catch (const std::exception& error) {
    return failure(kFail, "node '" + node.name + "': " + error.what());
  }
}

OrtStatus* create_linear(const OrtCustomOp*, const void*, const OrtKernelInfo* info,
                         void** kernel) {
  return create(info, -std::numeric_limits<float>::infinity(), kernel);
}

OrtStatus* create_relu(const OrtCustomOp*, const void*, const OrtKernelInfo* info,
                       void** kernel) {
  return create(info, 0.0f, kernel);
}

const char* linear_name(const OrtCustomOp*) { return "SparseConv"; }
const char* relu_name(const OrtCustomOp*) { return "SparseConvRelu"; }

OrtCustomOp make_operator(decltype(OrtCustomOp::GetName) name,
                          decltype(OrtCustomOp::CreateKernelV2) creator) {
  OrtCustomOp op{};
  op.version = kCustomOpVersion;
  op.GetName = name;
  op.CreateKernelV2 = creator;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return kNumInputs; };
  op.GetInputType = [](const OrtCustomOp*, size_t i) { return i == kIndices ? kInt32 : kFloat; };
  op.GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
  op.GetOutputType = [](const OrtCustomOp*, size_t) { return kFloat; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };   // required
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return 0; };  // required
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };       // default
  op.GetVariadicInputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  return op;
}

void register_operators(OrtSessionOptions* options) {
  static const OrtCustomOp operators[] = {make_operator(linear_name, create_linear),
                                          make_operator(relu_name, create_relu)};
  chosen_set();
  OrtCustomOpDomain* domain = nullptr;
  check(api().CreateCustomOpDomain(kDomain, &domain));
  for (const OrtCustomOp& op : operators) check(api().CustomOpDomain_Add(domain, &op));
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
    return edgewright::failure(edgewright::kFail, error.what());
  }
}

// The instruction set that kernels are run with on this machine.
EDGEWRIGHT_EXPORT const char* edgewright_instruction_set() {
  try {
    return edgewright::chosen_set().name;
  } catch (const std::exception&) {
    return edgewright::kNoSet;
  }
}
