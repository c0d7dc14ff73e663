// How images are prepared, and convolved by blocks of rows (plane_loop.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "block_plan.h"

namespace edgewright {

// The columns of the padded input that have one remainder by the stride.
struct PreparedView {
  size_t begin;   // elements from the start of the prepared plane
  size_t target;  // where the first column of the image goes; behind whole vectors
  size_t end;
};

struct PlaneStrip {
  WindowStrip strip;
  PlaneFunction run;
};

// How planes are convolved with all taps of a window, or with those of a list.
struct PlaneLoop {
  RowBlocks rows;
  std::vector<PlaneStrip> strips;
  std::vector<uint32_t> needed;  // per block: rows of the image, counted from the first
  size_t step;  // elements from one row that a block reads to the next; of the first tap's
};

struct PlanePlan {
  std::vector<PreparedView> views;
  std::vector<size_t> targets;  // per remainder of the image's columns: of its view, or kNoTarget
  std::vector<int32_t> masks;
  size_t pitch;         // elements from one row of a view to the next: whole vectors
  size_t filled;        // ... of which every image fills the first ones, from the target on
  size_t size;          // elements of all views
  uint32_t image_rows;  // that are needed

  PlaneLoop all;     // no strips: there is none
  PlaneLoop listed;
  std::vector<uint32_t> columns;  // per column of the window: elements from the plane's start
  std::vector<uint32_t> taps;     // per tap that is listed: elements from the plane's start
};

constexpr size_t kNoTarget = SIZE_MAX;

struct ImageSize {
  uint32_t height;
  uint32_t width;
  uint32_t out_height;
  uint32_t out_width;
};

// Whether there is a loop for all taps of a window; else they are listed.
bool has_loop(const Window& window);

// `listed`: taps by their place in [column of the window][row of the window]. Throws
// std::invalid_argument when the image is too large.
PlanePlan make_plane_plan(const Window& window, const WindowSet& set, const ImageSize& size,
                          const std::vector<uint32_t>& listed);

}  // namespace edgewright
