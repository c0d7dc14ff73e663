// How the rows and columns of an output are cut into blocks and strips.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "window.h"
#include "window_kernel.h"

namespace edgewright {

// Blocks step through rows of the input that are `input` apart; the rows of the window then are
// neighbours among them, and so are the rows of the block, or every second one.
struct RowSteps {
  uint32_t input;   // rows of the input
  uint32_t output;  // rows of the output
  uint32_t stride;  // steps from one row of the block to the next
};

// Returns whether there are such steps.
bool find_steps(const Window& window, RowSteps& steps);

// Rows first, first + step, ... of the output, computed together.
struct RowBlock {
  uint32_t first;
  uint32_t count;
};

// Numbers of rows that blocks are compiled for; few, as their loops are unrolled.
using RowChoices = std::array<uint32_t, 5>;
constexpr RowChoices kBlockRows{8, 7, 4, 4, 4};    // read in place
constexpr RowChoices kManyRows{14, 8, 7, 4, 2};    // 3x3 without stride, where registers allow it
constexpr RowChoices kPlaneRows{8, 7, 4, 2, 2};    // 3x3
constexpr RowChoices kLargeRows{8, 4, 2, 2, 2};    // 5x5
constexpr RowChoices kListedRows{16, 8, 4, 2, 2};  // few taps are soon done

struct RowBlocks {
  uint32_t step;
  uint32_t rows;  // of a block; some have fewer
  std::vector<RowBlock> blocks;
};

// Rows of one remainder by the step are computed block by block; the last block overlaps the one
// before.
RowBlocks cut_rows(uint32_t rows, uint32_t step, const RowChoices& choices);

struct Piece {
  uint32_t column;
  uint32_t lanes;
};

// Strips that cover the columns; the last one overlaps its neighbour.
std::vector<Piece> cut_columns(uint32_t columns, uint32_t lanes);

}  // namespace edgewright
