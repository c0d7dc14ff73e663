// The one inner loop of the library, and the copy that prepares its input, per instruction set.
//
// Included by files that are compiled for different instruction sets: no standard library code
// may be instantiated here, or the linker might keep its AVX-512 copy for everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "activation_kind.h"

namespace edgewright {

constexpr int kMaxVectors = 12;

// How the pixels of a panel lie in memory.
enum class Form {
  kScattered,  // every vector has a place of its own
  kFlat,       // the vectors are neighbours
  kFlatPlus1,  // ... and so are one or four pixels behind them, their tail
  kFlatPlus4,
  kGaps,  // neighbours in the input, with lanes between rows that the output does not have
};

// Adjacent output channels that share their taps: taps[begin, end) of the layer.
struct Block {
  uint32_t channel;  // the first one
  uint32_t rows;     // how many of the block's channels exist; fewer in a ragged last block
  uint32_t begin;
  uint32_t end;
};

// Up to kMaxVectors vectors of output pixels that are computed together, held in registers.
struct Panel {
  uint32_t input[kMaxVectors];   // where each vector starts in a plane of the prepared input
  uint32_t output[kMaxVectors];  // ... and in a plane of the output
  uint32_t picks;                // kGaps: where the panel's indices start in Work::picks
};

// What happens to sums, as one decision: each has its own code, because branches between the rows
// of a block cost as much as the work itself.
enum class Ending {
  kPlain,  // no residual, nothing but a clamp from below
  kCaps,   // ... from above too
  kAdds,   // a residual, and any clamp
  kBends,  // a curve, and perhaps a residual
};

struct Work {
  const Block* blocks;
  size_t num_blocks;
  const uint32_t* offsets;  // per tap: elements from a panel's start to the value to read
  const float* weights;     // per tap: one per row of the block
  const float* bias;        // per output channel, padded to whole blocks
  const Panel* panels;
  size_t num_panels;
  // kGaps: for each vector of a panel, which lanes of the vector before it and of itself are
  // stored. The last one is stored where all of its lanes are pixels, so nothing else is touched.
  const int32_t* picks;
  const float* input;
  const float* residual;  // added to the sums, lies like the output; or null
  float* output;
  size_t output_plane;  // elements from one output channel to the next
  Epilogue epilogue;  // what happens to a sum before it is stored
  Ending ending;      // what of it there is to do
  float floor;     // values that are read are clamped from below, where the kernel was chosen to
};

// Rows of `before` zeros, `count` elements that are `stride` apart in the source, `after` zeros.
struct RowCopy {
  float* target;
  const float* source;
  size_t rows;
  size_t source_row;  // elements from one row of the source to the next
  size_t before;
  size_t count;
  size_t after;
  size_t stride;
  bool relu;
};

using KernelFunction = void (*)(const Work&);

// What a kernel is compiled for.
struct Choice {
  uint32_t lanes;    // of a vector
  uint32_t rows;     // of a block
  uint32_t vectors;  // of a panel
  Form form;
  bool clamps;  // values from below as they are read; never with kGaps or a tail
};

struct InstructionSet {
  const char* name;
  // Floats of a vector. Panels with fewer pixels have up to lanes / 4 vectors of 4 lanes, or one
  // pixel.
  uint32_t lanes;
  // Vectors of a panel, at most, for unstructured weights and for blocks of four rows.
  uint32_t max_vectors_single;
  uint32_t max_vectors_block;
  uint32_t max_vectors_tail;  // ... and for blocks of four rows with a tail
  KernelFunction (*find)(const Choice&);  // null when there is none
  void (*copy_rows)(const RowCopy&);
};

}  // namespace edgewright
