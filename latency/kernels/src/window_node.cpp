#include "window_node.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

#include "parallel.h"
#include "ranges.h"

namespace edgewright {
namespace {

thread_local Scratch scratch;

// One node's planes follow each other on a thread, in pieces: their padding is cleared once.
std::atomic<uint64_t> last_run{0};
thread_local uint64_t cleared_run = 0;

// One run of a node: what every piece of work needs to know.
struct Call {
  const WindowLayer& layer;
  const WindowSet& set;
  const WindowPlan& plan;
  const ChannelGroups& groups;
  const float* input;
  float* output;
  size_t planes;
  uint64_t run;  // another one for every run of any node

  size_t channel_of(size_t plane) const { return plane % layer.bias.size(); }
  const float* weights_of(size_t channel) const {
    const auto [height, width] = layer.task.window.size;
    return layer.weights.data() + channel * height * width;
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
  for (uint32_t i = 0; i < plan.input_rows; ++i, ++y) {
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
  block.weights = convolves ? call.weights_of(call.channel_of(index)) : nullptr;
  block.bias = convolves ? call.layer.bias[call.channel_of(index)] : 0.0f;
  block.output_step = plan.out_width;
  block.limit = output + plan.out_plane();
  for (const RowBlock& rows : plan.rows.blocks) {
    set_rows(call, rows, image, block);
    block.output = output + size_t{rows.first} * plan.out_width;
    block.count = rows.count;
    block.row_scale = plan.row_scale.data() + (convolves ? 0 : rows.first);
    for (const PlannedStrip& planned : plan.strips) planned.run(block, planned.strip);
  }
}

// Clears all that images leave as it is when they are prepared.
void clear_padding(const PlanePlan& plan, float* prepared) {
  for (const PreparedView& view : plan.views) {
    size_t clear = view.begin;  // up to here
    for (uint32_t row = 0; row < plan.image_rows; ++row) {
      const size_t target = view.target + row * plan.pitch;
      std::fill(prepared + clear, prepared + target, 0.0f);
      clear = target + plan.filled;
    }
    std::fill(prepared + clear, prepared + view.end, 0.0f);
  }
}

void run_prepared(const Call& call, size_t index, size_t channel, PlaneRows& image,
                  const float* prepared) {
  const PlanePlan& plan = call.plan.prepared;
  const TapRange& range = call.layer.ranges[channel];
  const PlaneLoop& loop = range.all ? plan.all : plan.listed;
  const size_t row_step = call.layer.task.window.stride[0] * plan.pitch;
  float* output = call.output + index * call.plan.out_plane();
  PlaneBlock block;
  block.style = &call.layer.style;
  block.bias = call.layer.bias[channel];
  block.output_step = size_t{loop.rows.step} * call.plan.out_width;
  // Rows of a block that are not neighbours may not run over their end.
  block.limit = loop.rows.step > 1 ? output : output + call.plan.out_plane();
  block.step = loop.step;
  block.offsets = range.all ? plan.columns.data() : plan.taps.data() + range.begin;
  block.weights = range.all ? call.weights_of(channel)
                            : call.layer.listed_weights.data() + range.begin;
  block.taps = range.end - range.begin;
  const bool reads = range.all || block.taps > 0;
  image.source = call.input + index * call.plan.plane();
  image.end = 0;
  for (size_t i = 0; i < loop.rows.blocks.size(); ++i) {
    if (reads && loop.needed[i] > image.end) {  // shortly before they are read, for the cache
      image.begin = image.end;
      image.end = loop.needed[i];
      call.set.prepare_rows(image);
    }
    const RowBlock& rows = loop.rows.blocks[i];
    block.input = prepared + rows.first * row_step;
    block.output = output + size_t{rows.first} * call.plan.out_width;
    block.count = rows.count;
    for (const PlaneStrip& planned : loop.strips) planned.run(block, planned.strip);
  }
}

void run_all_prepared(const Call& call, size_t begin, size_t end) {
  const PlanePlan& plan = call.plan.prepared;
  float* prepared = scratch.reserve(plan.size);
  if (cleared_run != call.run) clear_padding(plan, prepared);
  cleared_run = call.run;
  std::vector<float*> targets;
  for (const size_t target : plan.targets) {
    targets.push_back(target == kNoTarget ? nullptr : prepared + target);
  }
  PlaneRows image{nullptr, call.input + call.planes * call.plan.plane(), 0, 0, call.plan.width,
                  call.layer.task.window.stride[1], targets.data(), plan.pitch,
                  plan.masks.data(), call.layer.style.floor};
  const size_t channels = call.layer.bias.size();
  size_t position = begin % channels;
  size_t first = begin - position;  // plane of an image
  for (size_t i = begin; i < end; ++i) {
    // Channels of as many taps follow each other, so that the ends of loops are predictable.
    const size_t channel = call.layer.order[position];
    run_prepared(call, first + channel, channel, image, prepared);
    if (++position == channels) {
      position = 0;
      first += channels;
    }
  }
}

void run_any_pool(const Call& call, size_t index) {
  const WindowPlan& plan = call.plan;
  const Window& window = call.layer.task.window;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float* prepared = scratch.reserve(plan.scratch_size());
  for (const PlannedView& view : plan.views) {
    call.set.prepare_pool({prepared + view.offset, call.input + index * plan.plane(), plan.height,
                           plan.width, plan.view_rows, plan.view_columns,
                           -int64_t{window.padding[0]}, int64_t{view.start} - window.padding[1],
                           window.stride[1],
                           call.layer.task.op == WindowOp::kMaximum ? kLowest : 0.0f});
  }
  call.set.any_pool(call.layer.task.op,
                    {prepared, size_t{window.stride[0]} * plan.view_columns, plan.offsets.data(),
                     plan.offsets.size(), call.output + index * plan.out_plane(), plan.out_height,
                     plan.out_width, plan.row_scale.data(), plan.column_scale.data()});
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
                       call.layer.bias.data() + channel, &call.layer.style, plan.channel_rows.data(),
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
  if (call.plan.way == WindowWay::kPrepared) {
    run_all_prepared(call, begin, end);
  } else if (call.plan.way == WindowWay::kInPlace) {
    for (size_t index = begin; index < end; ++index) run_blocks(call, index);
  } else {
    for (size_t index = begin; index < end; ++index) run_any_pool(call, index);
  }
}

}  // namespace

size_t items_of_a_piece(size_t items, size_t work) {
  const size_t worth = (kWorkOfAPiece + work - 1) / work;
  return std::max(worth, (items + kMaxBatches - 1) / kMaxBatches);
}

Tensor image_input(OrtKernelContext* context, size_t channels) {
  Tensor input = input_tensor(context, 0);
  const bool fits = input.shape.size() == 4 &&
                    (channels == 0 || input.shape[1] == static_cast<int64_t>(channels));
  if (!fits) {
    const std::string wanted = channels == 0 ? "channels" : std::to_string(channels);
    throw std::invalid_argument("input must have shape (batch, " + wanted + ", height, width)");
  }
  return input;
}

WindowNode::WindowNode(WindowLayer layer, const WindowSet& set)
    : layer_(std::move(layer)), set_(set), groups_(group_channels(layer_, set.lanes)) {}

void WindowNode::compute(OrtKernelContext* context) {
  const Tensor input = image_input(context, layer_.task.channels);
  const uint32_t height = image_side(input.shape[2]), width = image_side(input.shape[3]);
  const auto plan = plans_.get(
      height, width, [&] { return make_window_plan(layer_.task, set_, height, width); });
  float* output = output_tensor(
      context, {input.shape[0], input.shape[1], plan->out_height, plan->out_width});
  const size_t planes = static_cast<size_t>(input.shape[0]) * static_cast<size_t>(input.shape[1]);
  if (planes == 0) return;
  const Call call{layer_, set_, *plan, groups_, static_cast<const float*>(input.data),
                  output, planes, ++last_run};
  const Window& window = layer_.task.window;
  const size_t taps = size_t{window.size[0]} * window.size[1];
  if (plan->way == WindowWay::kChannels) {
    const size_t groups = static_cast<size_t>(input.shape[0]) * groups_.first.size();
    share(context, groups, plan->out_plane() * taps,
          [&](size_t begin, size_t end) { run_groups(call, begin, end); });
  } else {
    share(context, planes, (plan->out_plane() + set_.lanes - 1) / set_.lanes * taps,
          [&](size_t begin, size_t end) { run_planes(call, begin, end); });
  }
}

}  // namespace edgewright
