#include "block_plan.h"

#include <algorithm>
#include <limits>

namespace edgewright {
namespace {

constexpr size_t kRowsOfOverhead = 1;  // what a block costs besides its rows

// The number of rows of a block with which `rows` rows cost least.
uint32_t choose_rows(uint32_t rows, const RowChoices& choices) {
  uint32_t best = choices[0];
  size_t least = std::numeric_limits<size_t>::max();
  for (const uint32_t candidate : choices) {
    const size_t blocks = (rows + candidate - 1) / candidate;
    const size_t cost = blocks * (candidate + kRowsOfOverhead);
    if (cost < least) {
      least = cost;
      best = candidate;
    }
  }
  return best;
}

}  // namespace

bool find_steps(const Window& window, RowSteps& steps) {
  const uint32_t stride = window.stride[0];
  const uint32_t dilation = window.dilation[0];
  if (dilation % stride == 0) {
    steps = {dilation, dilation / stride, 1};
    return true;
  }
  steps = {1, 1, stride};
  return dilation == 1 && stride == 2;
}

RowBlocks cut_rows(uint32_t rows, uint32_t step, const RowChoices& choices) {
  const uint32_t remainders = std::min(step, rows);
  RowBlocks cut{step, choose_rows((rows + remainders - 1) / remainders, choices), {}};
  for (uint32_t remainder = 0; remainder < remainders; ++remainder) {
    const uint32_t count = (rows - remainder + step - 1) / step;
    for (uint32_t row = 0; row < count; row += cut.rows) {
      const uint32_t first = count < cut.rows ? 0 : std::min(row, count - cut.rows);
      cut.blocks.push_back({remainder + first * step, std::min(count, cut.rows)});
    }
  }
  return cut;
}

std::vector<Piece> cut_columns(uint32_t columns, uint32_t lanes) {
  while (lanes > 4 && columns <= lanes / 2) lanes /= 2;
  if (columns <= lanes) return {{0, lanes}};
  std::vector<Piece> pieces;
  uint32_t column = 0;
  for (; column + lanes <= columns; column += lanes) pieces.push_back({column, lanes});
  if (column < columns) {
    while (lanes > 4 && columns - column <= lanes / 2) lanes /= 2;
    pieces.push_back({columns - lanes, lanes});
  }
  return pieces;
}

}  // namespace edgewright
