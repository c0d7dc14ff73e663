// How a plane is computed for one size of image: in blocks, or in general.
#pragma once

#include <cstdint>
#include <vector>

#include "block_plan.h"
#include "plane_plan.h"

namespace edgewright {

struct PlannedStrip {
  WindowStrip strip;
  BlockFunction run;
};

// One view of the prepared plane: every stride-th column of the padded input, from `start` on.
struct PlannedView {
  uint32_t start;
  size_t offset;  // elements from the start of the prepared plane
};

enum class WindowWay {
  kInPlace,   // blocks, read from the image itself
  kPrepared,  // blocks, read from a copy of the image
  kChannels,  // channels are lanes: small images of enough channels
  kAnyPool,   // pixel by pixel, read from a copy of the image with its padding
};

struct WindowPlan {
  uint32_t height;  // of the input, pixels
  uint32_t width;
  uint32_t out_height;
  uint32_t out_width;
  // What sums are multiplied with: one over the taps inside. Padded to whole blocks and vectors.
  std::vector<float> row_scale;
  std::vector<float> column_scale;
  std::vector<float> neutral;       // a row that stands for those outside of the image

  WindowWay way;

  // kInPlace.
  std::vector<PlannedStrip> strips;
  RowBlocks rows;
  std::vector<int32_t> masks;
  uint32_t input_rows;  // that a block reads
  size_t before;        // elements that are read before a plane's first one, and masked
  size_t after;         // ... and behind its last one

  // kPrepared.
  PlanePlan prepared;

  // kAnyPool.
  std::vector<PlannedView> views;
  std::vector<uint32_t> offsets;  // per tap
  uint32_t view_rows;
  uint32_t view_columns;

  // kChannels.
  ChannelFunction run_channels;
  std::vector<ChannelRow> channel_rows;
  std::vector<uint32_t> places;  // per pixel of the input
  size_t prepared_row;           // elements
  size_t prepared_size;

  size_t plane() const { return size_t{height} * width; }
  size_t out_plane() const { return size_t{out_height} * out_width; }
  // Floats that a thread needs while it computes a plane.
  size_t scratch_size() const;
};

// Of the taps of a window that has a loop of its own: up to this share, a list is faster. Measured
// with windows of 3x3 and 5x5 and images of 16x16 and 32x32.
constexpr double kListedShare = 0.44;

// What a plan is made for.
struct WindowTask {
  WindowOp op;
  Window window;
  bool clamps_input;  // ReLU on load
  size_t channels;    // 0: any number
  double kept;        // share of the taps that are not zero
  std::vector<uint32_t> listed;  // taps: [column of the window][row of the window]
};

// Throws std::invalid_argument when the window does not fit the image, or when a pooling window
// lies wholly in the padding.
WindowPlan make_window_plan(const WindowTask& task, const WindowSet& set, uint32_t height,
                            uint32_t width);

}  // namespace edgewright
