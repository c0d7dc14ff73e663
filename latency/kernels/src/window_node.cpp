#include "window_node.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "parallel.h"

namespace edgewright {
namespace {

thread_local Scratch scratch;

// One run of a node: what every piece of work needs to know.
struct Call {
  const WindowLayer& layer;
  const WindowSet& set;
  const WindowPlan& plan;
  const ChannelGroups& groups;
  const float* input;
  float* output;
  size_t planes;

  size_t channel_of(size_t plane) const { return plane % layer.bias.size(); }
  const float* weights_of(size_t plane) const {
    const auto [height, width] = layer.task.window.size;
    return layer.weights.data() + channel_of(plane) * height * width;
  }
};

// Planes are read in place, with elements of their neighbours around them, which are masked. The
// first and the last ones have no neighbours: they are computed from a copy.
const float* readable(const Call& call, size_t index) {
  const WindowPlan& plan = call.plan;
  const size_t size = plan.plane();
  const float* source = call.input + index * size;
  if (index * size >= plan.before && (call.planes - index - 1) * size >= plan.after) return source;
  float* copy = scratch.reserve(plan.scratch_size()) + plan.before;
  std::memcpy(copy, source, size * sizeof(float));
  return copy;
}

void set_rows(const Call& call, const RowBlock& rows, const float* image, WindowBlock& block) {
  const WindowPlan& plan = call.plan;
  const Window& window = call.layer.task.window;
  int64_t y = int64_t{rows.first} * window.stride[0] - window.padding[0];
  for (uint32_t i = 0; i < plan.input_rows; ++i, y += plan.input_step) {
    const bool inside = y >= 0 && y < plan.height;
    const float* row = inside ? image + y * plan.width : plan.neutral.data() + plan.before;
    block.rows[i] = row - plan.before;
  }
}

void run_blocks(const Call& call, size_t index) {
  const WindowPlan& plan = call.plan;
  const bool convolves = call.layer.task.op == WindowOp::kConvolve;
  const float* image = readable(call, index);
  float* output = call.output + index * plan.out_plane();
  WindowBlock block;
  block.style = &call.layer.style;
  block.dilation = call.layer.task.window.dilation[1];
  block.weights = convolves ? call.weights_of(index) : nullptr;
  block.bias = convolves ? call.layer.bias[call.channel_of(index)] : 0.0f;
  block.output_step = size_t{plan.row_step} * plan.out_width;
  block.limit = plan.exact ? output : output + plan.out_plane();
  for (const RowBlock& rows : plan.blocks) {
    set_rows(call, rows, image, block);
    block.output = output + size_t{rows.first} * plan.out_width;
    block.count = rows.count;
    block.row_scale = plan.row_scale.data() + (convolves ? 0 : rows.first);
    for (const PlannedStrip& planned : plan.strips) planned.run(block, planned.strip);
  }
}

void run_views(const Call& call, size_t index) {
  const WindowPlan& plan = call.plan;
  const Window& window = call.layer.task.window;
  const bool convolves = call.layer.task.op == WindowOp::kConvolve;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float* prepared = scratch.reserve(plan.scratch_size());
  for (const PlannedView& view : plan.views) {
    call.set.prepare({prepared + view.offset, call.input + index * plan.plane(), plan.height,
                      plan.width, plan.view_rows, plan.view_columns,
                      -int64_t{window.padding[0]}, int64_t{view.start} - window.padding[1],
                      window.stride[1],
                      call.layer.task.op == WindowOp::kMaximum ? kLowest : 0.0f,
                      call.layer.style.floor});
  }
  call.set.any_window(
      call.layer.task.op,
      {prepared, size_t{window.stride[0]} * plan.view_columns, plan.offsets.data(),
       convolves ? call.weights_of(index) : nullptr, plan.offsets.size(),
       convolves ? call.layer.bias[call.channel_of(index)] : 0.0f, &call.layer.style,
       call.output + index * plan.out_plane(), plan.out_height, plan.out_width,
       plan.row_scale.data(), plan.column_scale.data()});
}

ChannelGroups group_channels(const WindowLayer& layer, size_t lanes) {
  ChannelGroups groups;
  const size_t channels = layer.task.channels;
  if (channels < lanes) return groups;
  const size_t taps = layer.weights.size() / channels;
  for (size_t next = 0; next < channels; next += lanes) {
    const size_t first = std::min(next, channels - lanes);
    groups.first.push_back(first);
    for (size_t tap = 0; tap < taps; ++tap) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        groups.weights.push_back(layer.weights[(first + lane) * taps + tap]);
      }
    }
  }
  return groups;
}

// Groups [begin, end) of all images.
void run_groups(const Call& call, size_t begin, size_t end) {
  const WindowPlan& plan = call.plan;
  const Window& window = call.layer.task.window;
  const size_t lanes = call.set.lanes;
  const size_t taps = size_t{window.size[0]} * window.size[1];
  float* prepared = scratch.reserve(plan.prepared_size + plan.out_plane() * lanes);
  std::memset(prepared, 0, plan.prepared_size * sizeof(float));  // padding stays zero
  const size_t groups = call.groups.first.size();
  for (size_t i = begin; i < end; ++i) {
    const size_t group = i % groups;
    const size_t channel = call.groups.first[group];
    const size_t plane = i / groups * call.layer.task.channels + channel;
    plan.run_channels({call.input + plane * plan.plane(), plan.plane(), plan.places.data(),
                       prepared, prepared + plan.prepared_size,
                       call.groups.weights.data() + group * taps * lanes,
                       call.layer.bias.data() + channel, &call.layer.style, plan.rows.data(),
                       {window.size[0], window.size[1]},
                       {window.dilation[0], window.dilation[1]},
                       window.dilation[0] * plan.prepared_row, plan.out_height,
                       call.output + plane * plan.out_plane(), plan.out_plane()});
  }
}

// Pieces of equal size are shared out to threads; `items` times `work` is all there is to do.
template <typename Body>
void share(OrtKernelContext* context, size_t items, size_t work, const Body& body) {
  const size_t piece = items_of_a_piece(items, work);
  parallel_for(context, (items + piece - 1) / piece, [&](size_t number) {
    body(number * piece, std::min(items, (number + 1) * piece));
  });
}

void run_planes(const Call& call, size_t begin, size_t end) {
  for (size_t index = begin; index < end; ++index) {
    if (call.plan.fast) {
      run_blocks(call, index);
    } else {
      run_views(call, index);
    }
  }
}

uint32_t image_side(int64_t size) {
  if (size < 1 || size > kMaxImageSide) throw std::invalid_argument("image size out of range");
  return static_cast<uint32_t>(size);
}

}  // namespace

size_t items_of_a_piece(size_t items, size_t work) {
  const size_t worth = (kWorkOfAPiece + work - 1) / work;
  return std::max(worth, (items + kMaxBatches - 1) / kMaxBatches);
}

Tensor image_input(OrtKernelContext* context, size_t channels) {
  const OrtValue* value = nullptr;
  check(api().KernelContext_GetInput(context, 0, &value));
  Tensor input = tensor_of(value);
  const bool fits = input.shape.size() == 4 &&
                    (channels == 0 || input.shape[1] == static_cast<int64_t>(channels));
  if (!fits) {
    const std::string wanted = channels == 0 ? "channels" : std::to_string(channels);
    throw std::invalid_argument("input must have shape (batch, " + wanted + ", height, width)");
  }
  return input;
}

float* image_output(OrtKernelContext* context, const std::vector<int64_t>& shape) {
  OrtValue* result = nullptr;
  check(api().KernelContext_GetOutput(context, 0, shape.data(), shape.size(), &result));
  void* output = nullptr;
  check(api().GetTensorMutableData(result, &output));
  return static_cast<float*>(output);
}

WindowNode::WindowNode(WindowLayer layer, const WindowSet& set)
    : layer_(std::move(layer)), set_(set), groups_(group_channels(layer_, set.lanes)) {}

std::shared_ptr<const WindowPlan> WindowNode::plan_for(uint32_t height, uint32_t width) {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (plan_ == nullptr || plan_->height != height || plan_->width != width) {
    plan_ = std::make_shared<const WindowPlan>(
        make_window_plan(layer_.task, set_, height, width));
  }
  return plan_;
}

void WindowNode::compute(OrtKernelContext* context) {
  const Tensor input = image_input(context, layer_.task.channels);
  const auto plan = plan_for(image_side(input.shape[2]), image_side(input.shape[3]));
  float* output = image_output(
      context, {input.shape[0], input.shape[1], plan->out_height, plan->out_width});
  const size_t planes = static_cast<size_t>(input.shape[0]) * static_cast<size_t>(input.shape[1]);
  if (planes == 0) return;
  const Call call{layer_, set_, *plan, groups_, static_cast<const float*>(input.data),
                  output, planes};
  const Window& window = layer_.task.window;
  const size_t taps = size_t{window.size[0]} * window.size[1];
  if (plan->run_channels != nullptr) {
    const size_t groups = static_cast<size_t>(input.shape[0]) * groups_.first.size();
    share(context, groups, plan->out_plane() * taps,
          [&](size_t begin, size_t end) { run_groups(call, begin, end); });
  } else {
    share(context, planes, (plan->out_plane() + set_.lanes - 1) / set_.lanes * taps,
          [&](size_t begin, size_t end) { run_planes(call, begin, end); });
  }
}

}  // namespace edgewright
