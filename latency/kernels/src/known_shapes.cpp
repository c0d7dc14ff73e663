#include "known_shapes.h"

#include <algorithm>

#include "ranges.h"

namespace edgewright {
namespace {

constexpr int kWholeNumbers = 2;  // OrtOpAttrType

bool succeeds(OrtStatus* status) {
  if (status == nullptr) return true;
  api().ReleaseStatus(status);
  return false;
}

}  // namespace

std::optional<std::vector<int64_t>> KnownShapes::input(size_t index) const {
  OrtTensorTypeAndShapeInfo* info = nullptr;  // belongs to the context
  size_t rank = 0;
  if (!succeeds(api().ShapeInferContext_GetInputTypeShape(context_, index, &info)) ||
      info == nullptr || !succeeds(api().GetDimensionsCount(info, &rank))) {
    return std::nullopt;
  }
  std::vector<int64_t> shape(rank);
  if (!succeeds(api().GetDimensions(info, shape.data(), rank))) return std::nullopt;
  const bool known = std::all_of(shape.begin(), shape.end(), [](int64_t size) { return size > 0; });
  return known ? std::optional(shape) : std::nullopt;
}

std::optional<std::vector<int64_t>> KnownShapes::attribute(const char* name, size_t count,
                                                           int64_t lowest) const {
  const OrtOpAttr* found = nullptr;
  if (!succeeds(api().ShapeInferContext_GetAttribute(context_, name, &found)) || found == nullptr) {
    return std::nullopt;
  }
  std::vector<int64_t> values(count);
  const size_t bytes = count * sizeof(int64_t);
  size_t read = 0;
  if (!succeeds(api().ReadOpAttr(found, kWholeNumbers, values.data(), bytes, &read)) ||
      read != bytes) {
    return std::nullopt;
  }
  const bool valid = std::all_of(values.begin(), values.end(), [lowest](int64_t value) {
    return value >= lowest && value <= kMaxSize;
  });
  return valid ? std::optional(values) : std::nullopt;
}

void KnownShapes::set_output(const std::vector<int64_t>& shape) const {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (!succeeds(api().CreateTensorTypeAndShapeInfo(&info))) return;
  if (succeeds(api().SetTensorElementType(info, kFloat)) &&
      succeeds(api().SetDimensions(info, shape.data(), shape.size()))) {
    succeeds(api().ShapeInferContext_SetOutputTypeShape(context_, 0, info));
  }
  api().ReleaseTensorTypeAndShapeInfo(info);
}

}  // namespace edgewright
