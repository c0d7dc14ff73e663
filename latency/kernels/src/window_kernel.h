// The inner loops of depthwise convolution and pooling, per instruction set.
//
// Included by files that are compiled for different instruction sets: no standard library code
// may be instantiated here (kernel.h).
//
// Most loops compute a block: up to eight rows of one strip, as many columns as a vector has
// lanes. They go down the rows of the input column of the window by column of the window, so that
// a loaded vector serves all rows of the window while the sums stay in registers. The image is
// read in place, where lanes outside of it are cut off by masks, or from a prepared plane
// (plane_loop.h).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "activation_kind.h"

namespace edgewright {

enum class WindowOp { kConvolve, kMaximum, kSum };

constexpr uint32_t kMaxBlockRows = 8;
constexpr uint32_t kMaxFastKernel = 5;
constexpr uint32_t kMaxInputRows = 2 * (kMaxBlockRows - 1) + kMaxFastKernel;

// What happens to values on their way in and out.
struct WindowStyle {
  float floor;     // inputs are clamped from below: 0 for ReLU on load, else -infinity
  float lowest;    // results are clamped to [lowest, highest]
  float highest;
  ActivationKind curve;  // kSilu or kHardSwish, else kNone
};

// Where the results of a block go.
struct BlockOutput {
  const WindowStyle* style;
  float* output;       // the first row
  size_t output_step;  // elements from one row of the block to the next
  uint32_t count;      // rows that exist
  // A vector may run over the end of its row, into the next one, which is written later; but
  // never past this address.
  const float* limit;
};

struct WindowBlock : BlockOutput {
  const float* rows[kMaxInputRows];  // at the first column of the padded input
  const float* weights;              // [column of the window][row of the window]
  float bias;
  const float* row_scale;            // of sums, per row
};

// A block of a prepared plane: padded, clamped, and with the columns of each remainder by the
// stride as a view of their own, so that the taps of neighbouring outputs are neighbours.
struct PlaneBlock : BlockOutput {
  const float* input;       // the first column of the first row that it reads
  size_t step;              // elements from one row of the input to the next, or of the outputs
  const uint32_t* offsets;  // per column of the window, or per tap
  const float* weights;     // [column of the window][row of the window], or per tap
  size_t taps;              // where they are listed
  float bias;
};

struct WindowStrip {
  uint32_t column;       // the first one of the output
  uint32_t input;        // ... and of the padded input
  uint32_t width;        // columns that exist
  uint32_t overrun;      // floats that may not pass the limit: the lanes, or 0 if all of them exist
  const int32_t* masks;  // per column of the window and lane: all ones where it is in the image
  const float* scale;    // of sums, per lane
};

// A plane of any pooling; the input is a prepared plane, so that no tap is outside of it.
struct PoolPlane {
  const float* input;
  size_t input_step;        // elements from one row of outputs to the next
  const uint32_t* offsets;  // per tap
  size_t taps;
  float* output;
  uint32_t height;
  uint32_t width;
  const float* row_scale;     // of sums, per row
  const float* column_scale;  // ... and per column, padded to whole vectors
};

// One view of the padded input: every stride-th column, from `start` on.
struct WindowView {
  float* target;
  const float* source;
  int64_t height;    // of the image
  int64_t width;
  int64_t rows;      // of the view
  int64_t columns;
  int64_t top;       // of the view, in rows of the image
  int64_t left;
  int64_t stride;
  float neutral;     // what padding is
};

// Rows of an image on their way into a prepared plane.
struct PlaneRows {
  const float* source;   // the image
  const float* limit;    // behind the last element that may be read
  size_t begin;          // rows [begin, end) are prepared
  size_t end;
  size_t width;          // elements of a row of the source
  uint32_t stride;
  // Per remainder by the stride: where the image's first row's go, or null; the next row's go
  // `pitch` elements behind them. A last vector is filled with zeros; there is room for it.
  float* const* targets;
  size_t pitch;
  const int32_t* masks;  // per remainder (1 and 2 only) and lane: which ones of a last vector exist
  float floor;
};

// A row of outputs of a small image: which rows of the window are inside, and where they start.
struct ChannelRow {
  uint32_t input;  // elements from the start of the prepared images
  uint32_t window_row;
  uint32_t window_rows;
};

// As many channels of one image as there are lanes.
struct ChannelWork {
  const float* input;
  size_t input_plane;
  const uint32_t* places;  // per pixel of the input: its vector in `prepared`
  float* prepared;         // rows with their padding, which is zero already
  float* results;          // one vector per pixel of the output
  const float* weights;    // [column of the window][row of the window][lane]
  const float* bias;       // [lane]
  const WindowStyle* style;
  const ChannelRow* rows;  // per row of the output
  uint32_t kernel[2];      // height, width
  uint32_t dilation[2];
  size_t window_step;      // elements of `prepared` from one row of the window to the next
  uint32_t out_height;
  float* output;
  size_t output_plane;
};

using ChannelFunction = void (*)(const ChannelWork&);
using BlockFunction = void (*)(const WindowBlock&, const WindowStrip&);
using PlaneFunction = void (*)(const PlaneBlock&, const WindowStrip&);

// In place, 3x3, without dilation.
struct BlockKey {
  WindowOp op;
  uint32_t lanes;
  uint32_t stride;
  uint32_t rows;
  bool masked;
};

struct PlaneKey {
  uint32_t lanes;
  uint32_t kernel;  // 0: the taps are listed
  uint32_t stride;  // rows of the input from one row of the block to the next
  uint32_t rows;
};

struct WindowSet {
  const char* name;
  uint32_t lanes;
  bool has_many_rows;  // find_plane knows blocks of fourteen rows, 3x3, stride 1
  BlockFunction (*find_block)(const BlockKey&);  // null: there is none
  PlaneFunction (*find_plane)(const PlaneKey&);  // null: there is none
  // For rows of `width` outputs and this column stride; null: there is none.
  ChannelFunction (*find_channels)(uint32_t width, uint32_t stride);
  void (*any_pool)(WindowOp op, const PoolPlane&);
  void (*prepare_pool)(const WindowView&);
  void (*prepare_rows)(const PlaneRows&);
  float (*sum)(const float* data, size_t count);
};

// The set of this name, which is that of an InstructionSet.
const WindowSet& window_set(const char* name);

}  // namespace edgewright
