#include "conv.h"

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "layer.h"
#include "plan.h"
#include "plan_cache.h"
#include "ranges.h"
#include "run.h"

namespace edgewright {
namespace {

// What is added comes last; operators with positions add nothing.
enum Input : size_t { kX, kValues, kIndices, kBias, kResidual, kPositions = kResidual, kFill };

// The operators of this family, without prefix and suffixes.
enum class Base { kConv, kPositions, kGemm };

// One of the operators: what its name says.
struct Variant {
  Base base;
  bool relu_input;
  bool residual;
  Epilogue epilogue;
};

LayerSource read_tensors(const OrtKernelInfo* info) {
  LayerSource source{};
  source.values = constant_input(info, kValues, "values", kFloat);
  source.indices = constant_input(info, kIndices, "indices", kInt32);
  source.bias = constant_input(info, kBias, "bias", kFloat);
  return source;
}

// A matrix is the window of an image of one pixel.
LayerSource read_matrix(const OrtKernelInfo* info) {
  LayerSource source = read_tensors(info);
  source.weight_shape = attribute(info, "weight_shape", 2);
  source.weight_shape.resize(4, 1);
  source.strides = source.dilations = {1, 1};
  source.pads = {0, 0, 0, 0};
  source.group = 1;
  return source;
}

LayerSource read_convolution(const OrtKernelInfo* info) {
  LayerSource source = read_tensors(info);
  source.weight_shape = attribute(info, "weight_shape", 4);
  source.strides = attribute(info, "strides", 2);
  source.dilations = attribute(info, "dilations", 2);
  source.pads = attribute(info, "pads", 4);
  source.group = 1;
  return source;
}

Layer read_layer(const OrtKernelInfo* info, const Variant& variant) {
  if (variant.base == Base::kGemm) return pack_layer(read_matrix(info));
  LayerSource source = read_convolution(info);
  source.relu_input = variant.relu_input;
  if (variant.base == Base::kConv) source.group = whole_number(info, "group");
  Layer layer = pack_layer(source);
  if (variant.base == Base::kPositions) {
    layer.positions = pack_positions(constant_input(info, kPositions, "positions", kInt32),
                                     constant_input(info, kFill, "fill", kFloat),
                                     layer.out_channels);
  }
  return layer;
}

class Convolution : public Kernel {
 public:
  Convolution(Layer layer, const InstructionSet& set, const Variant& variant)
      : layer_(std::move(layer)), set_(set), variant_(variant) {}

  void compute(OrtKernelContext* context) override;

 private:
  bool is_matrix() const { return variant_.base == Base::kGemm; }
  void check_input(const Shape& shape) const;
  std::shared_ptr<const Plan> plan_for(const Shape& input);
  const float* residual_of(OrtKernelContext* context, const Shape& shape) const;

  const Layer layer_;
  const InstructionSet& set_;
  const Variant variant_;
  PlanCache<Plan> plans_;
};

void Convolution::check_input(const Shape& shape) const {
  if (shape.size() == (is_matrix() ? 2 : 4) && shape[1] == layer_.in_channels) return;
  throw std::invalid_argument("input must have shape (batch, " +
                              std::to_string(layer_.in_channels) +
                              (is_matrix() ? ")" : ", height, width)"));
}

std::shared_ptr<const Plan> Convolution::plan_for(const Shape& input) {
  const uint32_t height = is_matrix() ? 1 : image_side(input[2]);
  const uint32_t width = is_matrix() ? 1 : image_side(input[3]);
  return plans_.get(height, width, [&] { return make_plan(layer_, set_, height, width); });
}

const float* Convolution::residual_of(OrtKernelContext* context,
                                      const Shape& shape) const {
  if (!variant_.residual) return nullptr;
  const Tensor residual = input_tensor(context, kResidual);
  if (residual.shape != shape) {
    throw std::invalid_argument("residual must have the shape of the output");
  }
  return static_cast<const float*>(residual.data);
}

void Convolution::compute(OrtKernelContext* context) {
  const Tensor input = input_tensor(context, kX);
  check_input(input.shape);
  const auto plan = plan_for(input.shape);
  const int64_t batch = input.shape[0], channels = layer_.out_channels;
  const Shape shape = is_matrix() ? Shape{batch, channels}
                                  : Shape{batch, channels, plan->out_height, plan->out_width};
  const float* residual = residual_of(context, shape);
  float* output = output_tensor(context, shape);
  run({layer_, set_, *plan, variant_.epilogue, context, static_cast<size_t>(batch),
       static_cast<const float*>(input.data), residual, output});
}

struct NamedBase {
  const char* name;
  Base base;
  bool may_relu_input;
  bool may_add;
};

constexpr NamedBase kBases[] = {{"SparseConv", Base::kConv, true, true},
                                {"SparseConvPositions", Base::kPositions, true, false},
                                {"SparseGemm", Base::kGemm, false, false}};

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
    if (size > kMaxImageSide || free < 0) return std::nullopt;
    shape.push_back(free / (*strides)[axis] + 1);
  }
  return shape;
}

OperatorDefinition define(std::string name, const Variant& variant, const InstructionSet& set) {
  std::vector<int> inputs{kFloat, kFloat, kInt32, kFloat};
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
  for (const NamedBase& base : kBases) {
    for (const bool relu_input : {false, true}) {
      if (relu_input && !base.may_relu_input) continue;
      for (const bool residual : {false, true}) {
        if (residual && !base.may_add) continue;
        for (const ActivationSuffix& activation : kActivations) {
          const std::string name = std::string(relu_input ? "Relu" : "") + base.name +
                                   (residual ? "Add" : "") + activation.suffix;
          operators.push_back(define(name,
                                     {base.base, relu_input, residual,
                                      epilogue_of(activation.kind)},
                                     set));
        }
      }
    }
  }
  return operators;
}

}  // namespace edgewright
