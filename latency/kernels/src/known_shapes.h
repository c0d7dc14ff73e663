// What is known of a node when a model is loaded, for the shapes of its outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ort_api.h"

namespace edgewright {

// Nothing is ever refused here: what is not known, or wrong, stays unknown until a kernel is made.
class KnownShapes {
 public:
  explicit KnownShapes(OrtShapeInferContext* context) : context_(context) {}

  // The shape of an input, if no dimension of it is symbolic or empty.
  std::optional<std::vector<int64_t>> input(size_t index) const;

  // An attribute, if it has that many whole numbers, all from `lowest` to kMaxSize.
  std::optional<std::vector<int64_t>> attribute(const char* name, size_t count,
                                                int64_t lowest) const;

  // Says that the only output is a float32 tensor of this shape.
  void set_output(const std::vector<int64_t>& shape) const;

 private:
  OrtShapeInferContext* context_;
};

}  // namespace edgewright
