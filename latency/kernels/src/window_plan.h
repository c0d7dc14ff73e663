// How a plane is computed for one size of image: in blocks, or in general.
#pragma once

#include <cstdint>
#include <vector>

#include "window.h"
#include "window_kernel.h"

namespace edgewright {

struct PlannedStrip {
  WindowStrip strip;
  BlockFunction run;
};

// Rows first, first + step, ... of the output, computed together.
struct RowBlock {
  uint32_t first;
  uint32_t count;
};

// One view of the prepared plane: every stride-th column of the padded input, from `start` on.
struct PlannedView {
  uint32_t start;
  size_t offset;  // elements from the start of the prepared plane
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

  // The fast way: the image is read in place.
  bool fast;
  std::vector<PlannedStrip> strips;
  std::vector<RowBlock> blocks;
  std::vector<int32_t> masks;
  uint32_t row_step;    // output rows from one row of a block to the next
  uint32_t input_step;  // input rows from one row that a block reads to the next
  uint32_t input_rows;  // that a block reads
  bool exact;           // stores may not run over the end of their row
  size_t before;        // elements that are read before a plane's first one, and masked
  size_t after;         // ... and behind its last one

  // The general way: a copy of the image, with its padding.
  std::vector<PlannedView> views;
  std::vector<uint32_t> offsets;  // per tap
  uint32_t view_rows;
  uint32_t view_columns;

  // The way of small images of enough channels: null, or channels are lanes.
  ChannelFunction run_channels;
  std::vector<ChannelRow> rows;
  std::vector<uint32_t> places;  // per pixel of the input
  size_t prepared_row;           // elements
  size_t prepared_size;

  size_t plane() const { return size_t{height} * width; }
  size_t out_plane() const { return size_t{out_height} * out_width; }
  // Floats that a thread needs while it computes a plane.
  size_t scratch_size() const;
};

// What a plan is made for.
struct WindowTask {
  WindowOp op;
  Window window;
  bool clamps_input;  // ReLU on load
  size_t channels;    // 0: any number
};

// Throws std::invalid_argument when the window does not fit the image, or when a pooling window
// lies wholly in the padding.
WindowPlan make_window_plan(const WindowTask& task, const WindowSet& set, uint32_t height,
                            uint32_t width);

}  // namespace edgewright
