#include "conv.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "layer.h"
#include "parallel.h"
#include "plan.h"

namespace edgewright {
namespace {

constexpr int64_t kMaxImageSize = 1 << 24;
constexpr size_t kManyTiles = 8;       // from here on threads take whole tiles
constexpr size_t kPrepareChunk = 16;   // planes that are prepared as one piece of work

thread_local Scratch scratch;

// One run of a node: what every piece of work needs to know.
struct Call {
  const Layer& layer;
  const InstructionSet& set;
  const Plan& plan;
  const float lowest;
  OrtKernelContext* context;

  size_t input_image() const {
    return size_t{layer.in_channels} * plan.height * plan.width;
  }
  size_t output_plane() const { return size_t{plan.out_height} * plan.out_width; }
  size_t output_image() const { return layer.out_channels * output_plane(); }
};

int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

// Elements [first, end) of a view's axis that lie inside of the image; the others are padding.
struct Inside {
  int64_t first;
  int64_t end;
};

// `origin`: where the view's first element lies, in coordinates of the image.
Inside inside_of(int64_t origin, int64_t stride, int64_t length, int64_t image) {
  const int64_t first = std::min(ceil_div(-origin, stride), length);
  return {first, std::max(first, std::min(ceil_div(image - origin, stride), length))};
}

// Writes the rows of a view that lie inside of the image, each with its padding left and right.
void prepare_rows(const Call& call, int64_t x, const float* source, int64_t rows, float* target) {
  const Window& window = call.layer.window;
  const int64_t length = call.plan.row_stride;
  const Inside inside = inside_of(x, window.stride[1], length, call.plan.width);
  const int64_t offset = x + inside.first * window.stride[1];
  call.set.copy_rows({target, source + offset,
                      static_cast<size_t>(rows), size_t{window.stride[0]} * call.plan.width,
                      static_cast<size_t>(inside.first),
                      static_cast<size_t>(inside.end - inside.first),
                      static_cast<size_t>(length - inside.end), window.stride[1]});
}

// The common case of short rows, stride 1 and padding that keeps the width: a view is the image
// moved by some columns, so one copy moves all rows, and then the columns that came from a
// neighbouring row become zeros. `y` and `x`: where the view begins in the image.
void prepare_moved(const Call& call, int64_t x, const float* image, int64_t y, int64_t rows,
                   float* target) {
  const int64_t width = call.plan.width;
  const int64_t size = width * call.plan.height;
  const int64_t origin = y * width + x;
  const int64_t skipped = std::max<int64_t>(0, -origin);
  const int64_t end = std::min(rows * width, size - origin);
  if (end > skipped) {
    std::memcpy(target + skipped, image + origin + skipped,
                static_cast<size_t>(end - skipped) * sizeof(float));
  }
  const int64_t left = std::min(width, std::max<int64_t>(0, -x));
  const int64_t right = width - std::min(width, std::max<int64_t>(0, x));
  for (float* row = target; row < target + rows * width; row += width) {
    for (int64_t i = 0; i < left; ++i) row[i] = 0.0f;
    for (int64_t i = right; i < width; ++i) row[i] = 0.0f;
  }
}

// Writes one plane of the prepared input of the tile that starts at output row `top`.
void prepare_plane(const Call& call, const float* image, size_t index, uint32_t top,
                   uint32_t tile_rows, float* prepared) {
  const Plan& plan = call.plan;
  const Window& window = call.layer.window;
  const size_t channel = index % call.layer.in_channels;
  const size_t view = index / call.layer.in_channels;
  const int64_t y = int64_t{top} * window.stride[0] + plan.y.starts[view / plan.x.starts.size()] -
                    window.padding[0];
  const int64_t x = int64_t{plan.x.starts[view % plan.x.starts.size()]} - window.padding[1];
  const int64_t rows = int64_t{tile_rows} + plan.y.max_shift;
  const Inside inside = inside_of(y, window.stride[0], rows, plan.height);
  const int64_t first_y = y + inside.first * window.stride[0];
  const int64_t count = inside.end - inside.first;

  const float* input = image + channel * plan.height * plan.width;
  float* target = prepared + index * plan.plane;
  float* first = target + inside.first * plan.row_stride;
  float* end = target + inside.end * plan.row_stride;
  std::fill(target, first, 0.0f);
  if (count > 0) {
    const bool moved =
        plan.row_stride == plan.width && window.stride[0] == 1 && window.stride[1] == 1;
    if (moved) {
      prepare_moved(call, x, input, first_y, count, first);
    } else {
      prepare_rows(call, x, input + first_y * plan.width, count, first);
    }
  }
  std::fill(end, target + rows * plan.row_stride, 0.0f);
}

void multiply(const Call& call, const Panels& panels, size_t group_index, size_t part,
              const float* input, float* output) {
  const Group& group = panels.groups[group_index];
  const size_t first = call.plan.parts[part];
  group.kernel({call.layer.blocks.data() + first, call.plan.parts[part + 1] - first,
                call.plan.offsets.data(), call.layer.weights.data(), call.layer.bias.data(),
                panels.panels.data() + group.first, group.count, input, output,
                call.output_plane(), call.lowest});
}

void run_direct(const Call& call, size_t batch, const float* input, float* output) {
  const Panels& panels = call.plan.full_tile;
  const size_t parts = call.plan.num_parts();
  const size_t per_image = panels.groups.size() * parts;
  parallel_for(call.context, batch * per_image, [&](size_t item) {
    const size_t image = item / per_image;
    const size_t piece = item % per_image;
    multiply(call, panels, piece / parts, piece % parts, input + image * call.input_image(),
             output + image * call.output_image());
  });
}

struct Tile {
  const Panels& panels;
  uint32_t top;
  uint32_t rows;
  const float* image;
  float* output;
};

Tile tile_of(const Call& call, size_t index, const float* input, float* output) {
  const Plan& plan = call.plan;
  const size_t image = index / plan.num_tiles;
  const auto number = static_cast<uint32_t>(index % plan.num_tiles);
  const uint32_t top = number * plan.tile_rows;
  return {number + 1 == plan.num_tiles ? plan.last_tile : plan.full_tile, top,
          std::min(plan.tile_rows, plan.out_height - top), input + image * call.input_image(),
          output + image * call.output_image() + size_t{top} * plan.out_width};
}

// Few tiles: threads share the work of each, first its preparation, then its products.
void share_tile(const Call& call, const Tile& tile, float* prepared) {
  const size_t planes = call.plan.scratch_size(call.layer) / call.plan.plane;
  const size_t parts = call.plan.num_parts();
  parallel_for(call.context, (planes + kPrepareChunk - 1) / kPrepareChunk, [&](size_t chunk) {
    const size_t end = std::min(planes, (chunk + 1) * kPrepareChunk);
    for (size_t index = chunk * kPrepareChunk; index < end; ++index) {
      prepare_plane(call, tile.image, index, tile.top, tile.rows, prepared);
    }
  });
  parallel_for(call.context, tile.panels.groups.size() * parts, [&](size_t item) {
    multiply(call, tile.panels, item / parts, item % parts, prepared, tile.output);
  });
}

// Many tiles: every thread takes whole ones, prepared in memory of its own.
void own_tile(const Call& call, const Tile& tile) {
  const size_t size = call.plan.scratch_size(call.layer);
  float* prepared = scratch.reserve(size);
  for (size_t index = 0; index < size / call.plan.plane; ++index) {
    prepare_plane(call, tile.image, index, tile.top, tile.rows, prepared);
  }
  for (size_t group = 0; group < tile.panels.groups.size(); ++group) {
    for (size_t part = 0; part < call.plan.num_parts(); ++part) {
      multiply(call, tile.panels, group, part, prepared, tile.output);
    }
  }
}

void run_prepared(const Call& call, size_t batch, const float* input, float* output) {
  const size_t tiles = batch * call.plan.num_tiles;
  if (tiles >= kManyTiles) {
    parallel_for(call.context, tiles,
                 [&](size_t i) { own_tile(call, tile_of(call, i, input, output)); });
    return;
  }
  float* prepared = scratch.reserve(call.plan.scratch_size(call.layer));
  for (size_t i = 0; i < tiles; ++i) {
    share_tile(call, tile_of(call, i, input, output), prepared);
  }
}

uint32_t image_size(int64_t size) {
  if (size < 1 || size > kMaxImageSize) throw std::invalid_argument("image size out of range");
  return static_cast<uint32_t>(size);
}

enum Input : size_t { kX, kValues, kIndices, kBias };

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

class SparseConv : public Kernel {
 public:
  // `lowest`: results are clamped from below, by 0 for ReLU and by -infinity for no activation.
  SparseConv(Layer layer, const InstructionSet& set, float lowest)
      : layer_(std::move(layer)), set_(set), lowest_(lowest) {}

  void compute(OrtKernelContext* context) override;

 private:
  std::shared_ptr<const Plan> plan_for(uint32_t height, uint32_t width);

  const Layer layer_;
  const InstructionSet& set_;
  const float lowest_;
  std::mutex mutex_;  // guards plan_: one session may be run by many threads at once
  std::shared_ptr<const Plan> plan_;
};

std::shared_ptr<const Plan> SparseConv::plan_for(uint32_t height, uint32_t width) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (plan_ == nullptr || plan_->height != height || plan_->width != width) {
    plan_ = std::make_shared<const Plan>(make_plan(layer_, set_, height, width));
  }
  return plan_;
}

void SparseConv::compute(OrtKernelContext* context) {
  const OrtValue* value = nullptr;
  check(api().KernelContext_GetInput(context, kX, &value));
  const Tensor input = tensor_of(value);
  if (input.shape.size() != 4 || input.shape[1] != layer_.in_channels) {
    throw std::invalid_argument("input must have shape (batch, " +
                                std::to_string(layer_.in_channels) + ", height, width)");
  }
  const auto plan = plan_for(image_size(input.shape[2]), image_size(input.shape[3]));
  const int64_t shape[] = {input.shape[0], layer_.out_channels, plan->out_height,
                           plan->out_width};
  OrtValue* result = nullptr;
  check(api().KernelContext_GetOutput(context, 0, shape, 4, &result));
  void* output = nullptr;
  check(api().GetTensorMutableData(result, &output));
  const auto batch = static_cast<size_t>(shape[0]);
  if (batch == 0) return;
  const Call call{layer_, set_, *plan, lowest_, context};
  const auto run = plan->direct ? run_direct : run_prepared;
  run(call, batch, static_cast<const float*>(input.data), static_cast<float*>(output));
}

OperatorDefinition define(const char* name, const InstructionSet& set, float lowest) {
  return {name, {kFloat, kFloat, kInt32, kFloat}, [&set, lowest](const OrtKernelInfo* info) {
            return std::make_unique<SparseConv>(pack_layer(read_layer(info)), set, lowest);
          }};
}

}  // namespace

std::vector<OperatorDefinition> conv_operators(const InstructionSet& set) {
  return {define("SparseConv", set, -std::numeric_limits<float>::infinity()),
          define("SparseConvRelu", set, 0.0f)};
}

}  // namespace edgewright
