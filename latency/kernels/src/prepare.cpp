#include "prepare.h"

#include <algorithm>

namespace edgewright {
namespace {

// Writes the rows of a view that lie inside of the image, each with its padding left and right.
void prepare_rows(const TileInput& tile, int64_t x, const float* source, int64_t rows,
                  float* target) {
  const Window& window = tile.layer.window;
  const int64_t length = tile.plan.row_stride;
  Inside inside = inside_of(x, window.stride[1], length, tile.plan.width);
  const int64_t offset = x + inside.first * window.stride[1];
  tile.set.copy_rows({target, source + offset, static_cast<size_t>(rows),
                      size_t{window.stride[0]} * tile.plan.width,
                      static_cast<size_t>(inside.first),
                      static_cast<size_t>(inside.end - inside.first),
                      static_cast<size_t>(length - inside.end), window.stride[1],
                      tile.layer.relu_input});
}

// The common case of short rows, stride 1 and padding that keeps the width: a view is the image
// moved by some columns, so one copy moves all rows, and then the columns that came from a
// neighbouring row become zeros. `y` and `x`: where the view begins in the image.
void prepare_moved(const TileInput& tile, int64_t x, const float* image, int64_t y, int64_t rows,
                   float* target) {
  const int64_t width = tile.plan.width;
  const int64_t size = width * tile.plan.height;
  const int64_t origin = y * width + x;
  const int64_t skipped = std::max<int64_t>(0, -origin);
  const int64_t end = std::min(rows * width, size - origin);
  if (end > skipped) {
    tile.set.copy_rows({target + skipped, image + origin + skipped, 1, 0, 0,
                        static_cast<size_t>(end - skipped), 0, 1, tile.layer.relu_input});
  }
  const int64_t left = std::min(width, std::max<int64_t>(0, -x));
  const int64_t right = width - std::min(width, std::max<int64_t>(0, x));
  for (float* row = target; row < target + rows * width; row += width) {
    for (int64_t i = 0; i < left; ++i) row[i] = 0.0f;
    for (int64_t i = right; i < width; ++i) row[i] = 0.0f;
  }
}

}  // namespace

void prepare_plane(const TileInput& tile, size_t index, float* prepared) {
  const Plan& plan = tile.plan;
  const Window& window = tile.layer.window;
  const size_t channel = index % tile.layer.in_channels;
  const size_t view = index / tile.layer.in_channels;
  const int64_t y = int64_t{tile.top} * window.stride[0] +
                    plan.y.starts[view / plan.x.starts.size()] - window.padding[0];
  const int64_t x = int64_t{plan.x.starts[view % plan.x.starts.size()]} - window.padding[1];
  const int64_t rows = int64_t{tile.rows} + plan.y.max_shift;
  const Inside inside = inside_of(y, window.stride[0], rows, plan.height);
  const int64_t first_y = y + inside.first * window.stride[0];
  const int64_t count = inside.end - inside.first;

  const float* input = tile.image + channel * plan.height * plan.width;
  float* target = prepared + index * plan.plane;
  float* first = target + inside.first * plan.row_stride;
  float* end = target + inside.end * plan.row_stride;
  std::fill(target, first, 0.0f);
  if (count > 0) {
    const bool moved =
        plan.row_stride == plan.width && window.stride[0] == 1 && window.stride[1] == 1;
    if (moved) {
      prepare_moved(tile, x, input, first_y, count, first);
    } else {
      prepare_rows(tile, x, input + first_y * plan.width, count, first);
    }
  }
  // Padding at the end of the last row may be shared with a row that does not exist.
  std::fill(end, target + rows * plan.row_stride + plan.x.max_shift, 0.0f);
}

}  // namespace edgewright
