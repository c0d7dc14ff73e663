#include "ort_api.h"

#include <stdexcept>

namespace edgewright {
namespace {

Api functions{};

template <typename Function>
void assign(Function& function, const void* table, size_t slot) {
  function = reinterpret_cast<Function>(static_cast<void* const*>(table)[slot]);
}

struct ShapeInfo {
  OrtTensorTypeAndShapeInfo* info = nullptr;

  explicit ShapeInfo(const OrtValue* value) { check(api().GetTensorTypeAndShape(value, &info)); }
  ShapeInfo(const ShapeInfo&) = delete;
  ShapeInfo& operator=(const ShapeInfo&) = delete;
  ~ShapeInfo() { api().ReleaseTensorTypeAndShapeInfo(info); }
};

}  // namespace

bool load_api(const OrtApiBase* base) {
  const void* table = base->GetApi(kApiVersion);
  if (table == nullptr) return false;
  assign(functions.CreateStatus, table, 0);
  assign(functions.GetErrorMessage, table, 2);
  assign(functions.CreateCustomOpDomain, table, 26);
  assign(functions.CustomOpDomain_Add, table, 27);
  assign(functions.AddCustomOpDomain, table, 28);
  assign(functions.GetTensorMutableData, table, 51);
  assign(functions.CreateTensorTypeAndShapeInfo, table, 57);
  assign(functions.SetTensorElementType, table, 58);
  assign(functions.SetDimensions, table, 59);
  assign(functions.GetTensorElementType, table, 60);
  assign(functions.GetDimensionsCount, table, 61);
  assign(functions.GetDimensions, table, 62);
  assign(functions.GetTensorTypeAndShape, table, 65);
  assign(functions.KernelInfoGetAttribute_int64, table, 86);
  assign(functions.KernelContext_GetInput, table, 90);
  assign(functions.KernelContext_GetOutput, table, 91);
  assign(functions.ReleaseStatus, table, 93);
  assign(functions.ReleaseTensorTypeAndShapeInfo, table, 99);
  assign(functions.KernelInfoGetAttributeArray_int64, table, 163);
  assign(functions.KernelInfo_GetNodeName, table, 244);
  assign(functions.KernelInfoGetConstantInput_tensor, table, 249);
  assign(functions.ShapeInferContext_GetInputTypeShape, table, 268);
  assign(functions.ShapeInferContext_GetAttribute, table, 269);
  assign(functions.ShapeInferContext_SetOutputTypeShape, table, 270);
  assign(functions.ReadOpAttr, table, 272);
  assign(functions.KernelContext_ParallelFor, table, 274);
  return true;
}

const Api& api() { return functions; }

void check(OrtStatus* status) {
  if (status == nullptr) return;
  const std::string message = api().GetErrorMessage(status);
  api().ReleaseStatus(status);
  throw std::invalid_argument(message);
}

Tensor tensor_of(const OrtValue* value) {
  const ShapeInfo shape(value);
  size_t rank = 0;
  check(api().GetDimensionsCount(shape.info, &rank));
  Tensor tensor{std::vector<int64_t>(rank), nullptr};
  check(api().GetDimensions(shape.info, tensor.shape.data(), rank));
  // The interface has one accessor for reading and writing; inputs are only read.
  check(api().GetTensorMutableData(const_cast<OrtValue*>(value), &tensor.data));
  return tensor;
}

Tensor input_tensor(OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  check(api().KernelContext_GetInput(context, index, &value));
  return tensor_of(value);
}

float* output_tensor(OrtKernelContext* context, const std::vector<int64_t>& shape) {
  OrtValue* result = nullptr;
  check(api().KernelContext_GetOutput(context, 0, shape.data(), shape.size(), &result));
  void* output = nullptr;
  check(api().GetTensorMutableData(result, &output));
  return static_cast<float*>(output);
}

Tensor constant_input(const OrtKernelInfo* info, size_t index, const char* name,
                      int element_type) {
  int is_constant = 0;
  const OrtValue* value = nullptr;
  check(api().KernelInfoGetConstantInput_tensor(info, index, &is_constant, &value));
  if (is_constant == 0 || value == nullptr) {
    throw std::invalid_argument(std::string(name) + " must be an initialiser");
  }
  int found = 0;
  {
    const ShapeInfo shape(value);
    check(api().GetTensorElementType(shape.info, &found));
  }
  if (found != element_type) {
    throw std::invalid_argument(std::string(name) + " has the wrong element type");
  }
  return tensor_of(value);
}

std::vector<int64_t> attribute(const OrtKernelInfo* info, const char* name, size_t count) {
  size_t size = 0;
  try {
    check(api().KernelInfoGetAttributeArray_int64(info, name, nullptr, &size));
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string(name) + ": " + error.what());
  }
  if (size != count) {
    throw std::invalid_argument(std::string(name) + " must have " + std::to_string(count) +
                                " values, got " + std::to_string(size));
  }
  std::vector<int64_t> values(count);
  check(api().KernelInfoGetAttributeArray_int64(info, name, values.data(), &size));
  return values;
}

int64_t whole_number(const OrtKernelInfo* info, const char* name) {
  int64_t value = 0;
  try {
    check(api().KernelInfoGetAttribute_int64(info, name, &value));
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string(name) + ": " + error.what());
  }
  return value;
}

std::string node_name(const OrtKernelInfo* info) {
  size_t size = 0;
  check(api().KernelInfo_GetNodeName(info, nullptr, &size));
  std::string name(size, '\0');
  check(api().KernelInfo_GetNodeName(info, &name[0], &size));
  name.resize(size > 0 ? size - 1 : 0);  // the runtime counts the terminating zero
  return name;
}

}  // namespace edgewright
