#include "conv.h"

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "layer.h"
#include "plan.h"
#include "run.h"

namespace edgewright {
namespace {

constexpr int64_t kMaxImageSize = 1 << 24;

// Constant inputs, counted from the first one behind the tensors that are joined.
enum Constant : size_t { kValues, kIndices, kBias, kPositions, kFill };

constexpr uint32_t kMaxInputs = 8;

// The operators of this family, without prefix and suffixes.
enum class Base { kConv, kPositions, kGemm };

// One of the operators: what its name says.
struct Variant {
  Base base;
  uint32_t inputs;  // tensors that are joined along the channels
  bool relu_input;
  bool residual;
  Epilogue epilogue;
};

LayerSource read_tensors(const OrtKernelInfo* info, uint32_t first) {
  LayerSource source{};
  source.values = constant_input(info, first + kValues, "values", kFloat);
  source.indices = constant_input(info, first + kIndices, "indices", kInt32);
  source.bias = constant_input(info, first + kBias, "bias", kFloat);
  return source;
}

// A matrix is the window of an image of one pixel.
LayerSource read_matrix(const OrtKernelInfo* info) {
  LayerSource source = read_tensors(info, 1);
  source.weight_shape = attribute(info, "weight_shape", 2);
  source.weight_shape.resize(4, 1);
  source.strides = source.dilations = {1, 1};
  source.pads = {0, 0, 0, 0};
  source.group = 1;
  return source;
}

LayerSource read_window(const OrtKernelInfo* info, uint32_t first) {
  LayerSource source = read_tensors(info, first);
  source.weight_shape = attribute(info, "weight_shape", 4);
  source.strides = attribute(info, "strides", 2);
  source.dilations = attribute(info, "dilations", 2);
  source.pads = attribute(info, "pads", 4);
  source.group = 1;
  return source;
}

Layer read_layer(const OrtKernelInfo* info, const Variant& variant) {
  if (variant.base == Base::kGemm) return pack_layer(read_matrix(info));
  LayerSource source = read_window(info, variant.inputs);
  source.relu_input = variant.relu_input;
  if (variant.base == Base::kConv) source.group = whole_number(info, "group");
  Layer layer = pack_layer(source);
  layer.inputs = variant.inputs;
  if (variant.base == Base::kPositions) {
    layer.positions = pack_positions(constant_input(info, 1 + kPositions, "positions", kInt32),
                                     constant_input(info, 1 + kFill, "fill", kFloat),
                                     layer.out_channels);
  }
  return layer;
}

Tensor input_of(OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  check(api().KernelContext_GetInput(context, index, &value));
  return tensor_of(value);
}

float* output_of(OrtKernelContext* context, const std::vector<int64_t>& shape) {
  OrtValue* result = nullptr;
  check(api().KernelContext_GetOutput(context, 0, shape.data(), shape.size(), &result));
  void* output = nullptr;
  check(api().GetTensorMutableData(result, &output));
  return static_cast<float*>(output);
}

uint32_t image_size(int64_t size) {
  if (size < 1 || size > kMaxImageSize) throw std::invalid_argument("image size out of range");
  return static_cast<uint32_t>(size);
}

class Convolution : public Kernel {
 public:
  Convolution(Layer layer, const InstructionSet& set, const Variant& variant)
      : layer_(std::move(layer)), set_(set), variant_(variant) {}

  void compute(OrtKernelContext* context) override;

 private:
  bool is_matrix() const { return variant_.base == Base::kGemm; }
  std::vector<int64_t> read_sources(OrtKernelContext* context, std::vector<Source>& sources) const;
  const float* residual_of(OrtKernelContext* context, const std::vector<int64_t>& shape) const;
  std::shared_ptr<const Plan> plan_for(uint32_t height, uint32_t width);

  const Layer layer_;
  const InstructionSet& set_;
  const Variant variant_;
  std::mutex mutex_;  // guards plan_: one session may be run by many threads at once
  std::shared_ptr<const Plan> plan_;
};

// Returns the shape of the input as if its tensors were one.
std::vector<int64_t> Convolution::read_sources(OrtKernelContext* context,
                                               std::vector<Source>& sources) const {
  const size_t rank = is_matrix() ? 2 : 4;
  std::vector<int64_t> shape;
  for (uint32_t i = 0; i < variant_.inputs; ++i) {
    const Tensor input = input_of(context, i);
    if (input.shape.size() != rank) break;
    const int64_t channels = input.shape[1];
    sources.push_back({static_cast<const float*>(input.data), static_cast<size_t>(channels)});
    if (i == 0) {
      shape = input.shape;
      continue;
    }
    shape[1] += channels;
    std::vector<int64_t> same = input.shape;
    same[1] = shape[1];
    if (same != shape) throw std::invalid_argument("inputs must differ in their channels only");
  }
  if (sources.size() == variant_.inputs && shape[1] == layer_.in_channels) return shape;
  throw std::invalid_argument("input must have shape (batch, " +
                              std::to_string(layer_.in_channels) +
                              (is_matrix() ? ")" : ", height, width)"));
}

const float* Convolution::residual_of(OrtKernelContext* context,
                                      const std::vector<int64_t>& shape) const {
  if (!variant_.residual) return nullptr;
  const Tensor residual = input_of(context, variant_.inputs + kBias + 1);
  if (residual.shape != shape) {
    throw std::invalid_argument("residual must have the shape of the output");
  }
  return static_cast<const float*>(residual.data);
}

std::shared_ptr<const Plan> Convolution::plan_for(uint32_t height, uint32_t width) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (plan_ == nullptr || plan_->height != height || plan_->width != width) {
    plan_ = std::make_shared<const Plan>(make_plan(layer_, set_, height, width));
  }
  return plan_;
}

void Convolution::compute(OrtKernelContext* context) {
  std::vector<Source> sources;
  const std::vector<int64_t> input = read_sources(context, sources);
  const bool matrix = is_matrix();
  const auto plan =
      matrix ? plan_for(1, 1) : plan_for(image_size(input[2]), image_size(input[3]));
  std::vector<int64_t> shape{input[0], int64_t{layer_.out_channels}};
  if (!matrix) shape.insert(shape.end(), {int64_t{plan->out_height}, int64_t{plan->out_width}});
  const float* residual = residual_of(context, shape);
  float* output = output_of(context, shape);
  run({layer_, set_, *plan, variant_.epilogue, context, static_cast<size_t>(shape[0]),
       std::move(sources), residual, output});
}

struct NamedBase {
  std::string name;
  Base base;
  uint32_t inputs;
  bool may_relu_input;
  bool may_add;
};

std::vector<NamedBase> bases() {
  std::vector<NamedBase> found{{"SparseConv", Base::kConv, 1, true, true},
                               {"SparseConvPositions", Base::kPositions, 1, true, false},
                               {"SparseGemm", Base::kGemm, 1, false, false}};
  for (uint32_t inputs = 2; inputs <= kMaxInputs; ++inputs) {
    found.push_back(
        {"SparseConvConcat" + std::to_string(inputs), Base::kConv, inputs, true, false});
  }
  return found;
}

// Input and output of a convolution as far as they are known; see ShapeFinder.
std::optional<std::vector<int64_t>> find_shape(const Variant& variant, const KnownShapes& known) {
  const bool matrix = variant.base == Base::kGemm;
  const auto input = known.input(0);
  const auto weight = known.attribute("weight_shape", matrix ? 2 : 4, 1);
  if (!input || !weight || input->size() != (matrix ? 2 : 4)) return std::nullopt;
  std::vector<int64_t> shape{input->front(), weight->front()};
  if (matrix) return shape;
  const auto strides = known.attribute("strides", 2, 1);
  const auto dilations = known.attribute("dilations", 2, 1);
  const auto pads = known.attribute("pads", 4, 0);
  if (!strides || !dilations || !pads) return std::nullopt;
  for (size_t axis = 0; axis < 2; ++axis) {
    const int64_t size = (*input)[2 + axis];
    const int64_t reach = (*dilations)[axis] * ((*weight)[2 + axis] - 1) + 1;
    const int64_t free = size + (*pads)[axis] + (*pads)[axis + 2] - reach;
    if (size > kMaxImageSize || free < 0) return std::nullopt;
    shape.push_back(free / (*strides)[axis] + 1);
  }
  return shape;
}

OperatorDefinition define(std::string name, const Variant& variant, const InstructionSet& set) {
  std::vector<int> inputs(variant.inputs, kFloat);
  inputs.insert(inputs.end(), {kFloat, kInt32, kFloat});
  if (variant.base == Base::kPositions) inputs.insert(inputs.end(), {kInt32, kFloat});
  if (variant.residual) inputs.push_back(kFloat);
  return {std::move(name), std::move(inputs), [&set, variant](const OrtKernelInfo* info) {
            return std::make_unique<Convolution>(read_layer(info, variant), set, variant);
          },
          [variant](const KnownShapes& known) { return find_shape(variant, known); }};
}

}  // namespace

std::vector<OperatorDefinition> conv_operators(const InstructionSet& set) {
  std::vector<OperatorDefinition> operators;
  for (const NamedBase& base : bases()) {
    for (const bool relu_input : {false, true}) {
      if (relu_input && !base.may_relu_input) continue;
      for (const bool residual : {false, true}) {
        if (residual && !base.may_add) continue;
        for (const ActivationSuffix& activation : kActivations) {
          const std::string name = std::string(relu_input ? "Relu" : "") + base.name +
                                   (residual ? "Add" : "") + activation.suffix;
          operators.push_back(define(name,
                                     {base.base, base.inputs, relu_input, residual,
                                      epilogue_of(activation.kind)},
                                     set));
        }
      }
    }
  }
  return operators;
}

}  // namespace edgewright
