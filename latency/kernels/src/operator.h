// One operator of the library: a name, its inputs, and how its kernel is made. The C interface of
// the runtime, the messages that name a node and the way from exceptions to errors are all here.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "known_shapes.h"
#include "ort_api.h"

namespace edgewright {

// What a session holds for one node.
class Kernel {
 public:
  Kernel() = default;
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  virtual ~Kernel() = default;

  // Runs on the session's own threads; several runs may be under way at once. Throws
  // std::exception on an input that does not fit.
  virtual void compute(OrtKernelContext* context) = 0;
};

// Throws std::exception when the node is malformed; the caller adds the node's name.
using KernelMaker = std::function<std::unique_ptr<Kernel>(const OrtKernelInfo*)>;

// The shape of the output, if enough is known of a node when its model is loaded.
using ShapeFinder = std::function<std::optional<std::vector<int64_t>>(const KnownShapes&)>;

struct OperatorDefinition {
  std::string name;
  std::vector<int> input_types;  // ONNXTensorElementDataType of each input; all are required
  KernelMaker make;
  ShapeFinder find_shape = {};  // or none: the shape is not known before a run
};

// The names of all operators that were added, each with a line end behind it.
std::string operator_names();

// Adds operators to a domain. The definitions live as long as the process.
void add_operators(OrtCustomOpDomain* domain, std::vector<OperatorDefinition> definitions);

}  // namespace edgewright
