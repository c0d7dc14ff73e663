#include "ort_api.h"

#include <stdexcept>

namespace edgewright {

Api loaded_api{};

namespace {

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
  assign(loaded_api.CreateStatus, table, 0);
  assign(loaded_api.GetErrorMessage, table, 2);
  assign(loaded_api.CreateCustomOpDomain, table, 26);
  assign(loaded_api.CustomOpDomain_Add, table, 27);
  assign(loaded_api.AddCustomOpDomain, table, 28);
  assign(loaded_api.GetTensorMutableData, table, 51);
  assign(loaded_api.CreateTensorTypeAndShapeInfo, table, 57);
  assign(loaded_api.SetTensorElementType, table, 58);
  assign(loaded_api.SetDimensions, table, 59);
  assign(loaded_api.GetTensorElementType, table, 60);
  assign(loaded_api.GetDimensionsCount, table, 61);
  assign(loaded_api.GetDimensions, table, 62);
  assign(loaded_api.GetTensorTypeAndShape, table, 65);
  assign(loaded_api.KernelInfoGetAttribute_int64, table, 86);
  assign(loaded_api.KernelContext_GetInput, table, 90);
  assign(loaded_api.KernelContext_GetOutput, table, 91);
  assign(loaded_api.ReleaseStatus, table, 93);
  assign(loaded_api.ReleaseTensorTypeAndShapeInfo, table, 99);
  assign(loaded_api.KernelInfoGetAttributeArray_int64, table, 163);
  assign(loaded_api.KernelInfo_GetNodeName, table, 244);
  assign(loaded_api.KernelInfoGetConstantInput_tensor, table, 249);
  assign(loaded_api.ShapeInferContext_GetInputTypeShape, table, 268);
  assign(loaded_api.ShapeInferContext_GetAttribute, table, 269);
  assign(loaded_api.ShapeInferContext_SetOutputTypeShape, table, 270);
  assign(loaded_api.ReadOpAttr, table, 272);
  assign(loaded_api.KernelContext_ParallelFor, table, 274);
  return true;
}

void raise(OrtStatus* error) {
  const std::string message = api().GetErrorMessage(error);
  api().ReleaseStatus(error);
  throw std::invalid_argument(message);
}

Tensor tensor_of(const OrtValue* value) {
  const ShapeInfo shape(value);
  size_t rank = 0;
  check(api().GetDimensionsCount(shape.info, &rank));
  Tensor tensor{Shape(rank), nullptr};
  check(api().GetDimensions(shape.info, tensor.shape.data(), tensor.shape.num_known()));
  // The interface has one accessor for reading and writing; inputs are only read.
  check(api().GetTensorMutableData(const_cast<OrtValue*>(value), &tensor.data));
  return tensor;
}

Tensor input_tensor(OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  check(api().KernelContext_GetInput(context, index, &value));
  return tensor_of(value);
}

float* output_tensor(OrtKernelContext* context, const Shape& shape) {
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
