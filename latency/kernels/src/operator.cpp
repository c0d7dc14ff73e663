#include "operator.h"

#include <exception>
#include <list>
#include <mutex>
#include <utility>

namespace edgewright {
namespace {

// A definition in the form that the runtime asks for.
struct Operator : OrtCustomOp {
  OperatorDefinition definition;
};

// A kernel with the name of its node, for messages.
struct Node {
  std::string name;
  std::unique_ptr<Kernel> kernel;
};

const OperatorDefinition& definition_of(const OrtCustomOp* op) {
  return static_cast<const Operator*>(op)->definition;
}

OrtStatus* failure(int code, const std::string& node, const char* message) {
  return api().CreateStatus(code, ("ai.edgewright: node '" + node + "': " + message).c_str());
}

OrtStatus* create(const OrtCustomOp* op, const void*, const OrtKernelInfo* info, void** kernel) {
  std::string name = "?";
  try {
    name = node_name(info);
    *kernel = new Node{name, definition_of(op).make(info)};
    return nullptr;
  } catch (const std::exception& error) {
    return failure(kInvalidArgument, name, error.what());
  }
}

// Never an error: a model whose shapes are symbolic, or a wrong one, is none of this function's.
OrtStatus* infer_shape(const OrtCustomOp* op, OrtShapeInferContext* context) {
  try {
    const KnownShapes known(context);
    const auto shape = definition_of(op).find_shape(known);
    if (shape) known.set_output(*shape);
  } catch (const std::exception&) {  // out of memory
  }
  return nullptr;
}

OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  const auto& node = *static_cast<Node*>(kernel);
  try {
    node.kernel->compute(context);
    return nullptr;
  } catch (const std::exception& error) {
    return failure(kFail, node.name, error.what());
  }
}

OrtCustomOp make_interface(const OperatorDefinition& definition) {
  OrtCustomOp op{};
  if (definition.find_shape) op.InferOutputShapeFn = infer_shape;
  op.version = kCustomOpVersion;
  op.GetName = [](const OrtCustomOp* self) { return definition_of(self).name.c_str(); };
  op.CreateKernelV2 = create;
  op.KernelComputeV2 = compute;
  op.KernelDestroy = [](void* kernel) { delete static_cast<Node*>(kernel); };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp* self) {
    return definition_of(self).input_types.size();
  };
  op.GetInputType = [](const OrtCustomOp* self, size_t i) {
    return definition_of(self).input_types[i];
  };
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

// Kept for good: the runtime holds the addresses, and a list never moves its elements.
std::list<Operator> operators;
std::mutex mutex;  // libraries may be registered from several threads

}  // namespace

std::string operator_names() {
  const std::lock_guard<std::mutex> guard(mutex);
  std::string names;
  for (const Operator& op : operators) names += op.definition.name + "\n";
  return names;
}

void add_operators(OrtCustomOpDomain* domain, std::vector<OperatorDefinition> definitions) {
  const std::lock_guard<std::mutex> guard(mutex);
  for (OperatorDefinition& definition : definitions) {
    operators.push_back({{make_interface(definition)}, std::move(definition)});
    check(api().CustomOpDomain_Add(domain, &operators.back()));
  }
}

}  // namespace edgewright
