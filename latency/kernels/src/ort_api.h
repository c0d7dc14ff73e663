// The part of ONNX Runtime's C interface that this library uses.
//
// The wheels of ONNX Runtime ship no headers, and none is needed: the interface is a table of
// function pointers that only ever grows, so a slot keeps its number for good. Slots below exist
// since API version 17 (ONNX Runtime 1.17).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "shape.h"

extern "C" {
struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtValue;
struct OrtTensorTypeAndShapeInfo;
struct OrtShapeInferContext;
struct OrtOpAttr;

struct OrtApiBase {
  const void* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// Fields and their order are those of the C interface; the unused ones stay null.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const void* api, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void* kernel, OrtKernelContext*);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const void* api, const OrtKernelInfo*,
                               void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, OrtShapeInferContext*);
  // Versions and aliasing: not used. GetMayInplace would let the output take the memory of a
  // residual, but it speaks for an operator, not for a node, and every operator has nodes that
  // would break: vectors at the end of a row overlap the ones before, possibly those of another
  // panel that another thread computes, so a pixel may be read after its sum was stored.
  void* later_versions[6];
};
}

static_assert(sizeof(void*) != 8 || sizeof(OrtCustomOp) == 208, "layout of OrtCustomOp");

namespace edgewright {

constexpr uint32_t kApiVersion = 17;       // what this library asks the runtime for
constexpr uint32_t kCustomOpVersion = 17;  // fields of OrtCustomOp up to InferOutputShapeFn
constexpr int kFloat = 1;                  // ONNXTensorElementDataType
constexpr int kInt32 = 6;
constexpr int kFail = 1;  // OrtErrorCode
constexpr int kInvalidArgument = 2;

// The functions of the runtime, found once when the library is registered.
struct Api {
  OrtStatus* (*CreateStatus)(int code, const char* message);
  const char* (*GetErrorMessage)(const OrtStatus*);
  void (*ReleaseStatus)(OrtStatus*);
  OrtStatus* (*CreateCustomOpDomain)(const char* name, OrtCustomOpDomain**);
  OrtStatus* (*CustomOpDomain_Add)(OrtCustomOpDomain*, const OrtCustomOp*);
  OrtStatus* (*AddCustomOpDomain)(OrtSessionOptions*, OrtCustomOpDomain*);
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void**);
  OrtStatus* (*CreateTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo**);
  OrtStatus* (*SetTensorElementType)(OrtTensorTypeAndShapeInfo*, int);
  OrtStatus* (*SetDimensions)(OrtTensorTypeAndShapeInfo*, const int64_t*, size_t count);
  OrtStatus* (*ShapeInferContext_GetInputTypeShape)(const OrtShapeInferContext*, size_t index,
                                                    OrtTensorTypeAndShapeInfo**);
  OrtStatus* (*ShapeInferContext_GetAttribute)(const OrtShapeInferContext*, const char* name,
                                               const OrtOpAttr**);
  OrtStatus* (*ShapeInferContext_SetOutputTypeShape)(const OrtShapeInferContext*, size_t index,
                                                     const OrtTensorTypeAndShapeInfo*);
  OrtStatus* (*ReadOpAttr)(const OrtOpAttr*, int type, void* data, size_t bytes, size_t* read);
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorTypeAndShapeInfo**);
  OrtStatus* (*GetTensorElementType)(const OrtTensorTypeAndShapeInfo*, int*);
  OrtStatus* (*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo*, size_t*);
  OrtStatus* (*GetDimensions)(const OrtTensorTypeAndShapeInfo*, int64_t*, size_t count);
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo*);
  OrtStatus* (*KernelInfoGetAttributeArray_int64)(const OrtKernelInfo*, const char* name,
                                                  int64_t* values, size_t* size);
  OrtStatus* (*KernelInfo_GetNodeName)(const OrtKernelInfo*, char* text, size_t* size);
  OrtStatus* (*KernelInfoGetConstantInput_tensor)(const OrtKernelInfo*, size_t index,
                                                  int* is_constant, const OrtValue**);
  OrtStatus* (*KernelInfoGetAttribute_int64)(const OrtKernelInfo*, const char* name, int64_t*);
  OrtStatus* (*KernelContext_GetInput)(const OrtKernelContext*, size_t index, const OrtValue**);
  OrtStatus* (*KernelContext_GetOutput)(OrtKernelContext*, size_t index, const int64_t* dims,
                                        size_t num_dims, OrtValue**);
  OrtStatus* (*KernelContext_ParallelFor)(const OrtKernelContext*, void (*)(void*, size_t),
                                          size_t total, size_t num_batch, void* user);
};

struct Tensor {
  Shape shape;
  void* data;
};

// Fills the table; false when the runtime is older than kApiVersion.
bool load_api(const OrtApiBase* base);

extern Api loaded_api;  // filled by load_api

inline const Api& api() { return loaded_api; }

// Throws std::invalid_argument with the runtime's own text.
[[noreturn]] void raise(OrtStatus* error);

inline void check(OrtStatus* status) {
  if (status != nullptr) raise(status);
}

Tensor tensor_of(const OrtValue* value);

// One input of a run, and the memory of its only output.
Tensor input_tensor(OrtKernelContext* context, size_t index);
float* output_tensor(OrtKernelContext* context, const Shape& shape);

// Throws std::invalid_argument when the input is no initialiser or of another element type.
Tensor constant_input(const OrtKernelInfo* info, size_t index, const char* name, int element_type);

// Throws std::invalid_argument when the attribute is missing or has another number of values.
std::vector<int64_t> attribute(const OrtKernelInfo* info, const char* name, size_t count);

// Throws std::invalid_argument when the attribute is missing or is no single whole number.
int64_t whole_number(const OrtKernelInfo* info, const char* name);

std::string node_name(const OrtKernelInfo* info);

}  // namespace edgewright
