// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "kernel.h"

#include "activate.h"
#include "copy_rows.h"
#include "vector.h"

namespace edgewright {
namespace {

// Single pixels behind the vectors of a panel: the four rows of a block are the lanes.
template <int Pixels>
struct Tail {
  using V = Vector<4>::type;
  V sum[Pixels > 0 ? Pixels : 1];

  EDGEWRIGHT_INLINE void start(const float* bias) {
    for (int i = 0; i < Pixels; ++i) sum[i] = load<4>(bias);
  }

  EDGEWRIGHT_INLINE void add(const float* weights, const float* x) {
    if constexpr (Pixels > 0) {
      const V weight = load<4>(weights);
#pragma GCC unroll 4
      for (int i = 0; i < Pixels; ++i) sum[i] += weight * x[i];
    }
  }

  // `first`: where the block's first row has its first pixel of the tail.
  EDGEWRIGHT_INLINE void finish(const Work& work, size_t first, uint32_t rows) {
    for (int i = 0; i < Pixels; ++i) {
      if (work.residual != nullptr) {
        for (uint32_t r = 0; r < rows; ++r) {
          sum[i][r] += work.residual[first + r * work.output_plane + i];
        }
      }
      const Epilogue& epilogue = work.epilogue;
      V result = at_most(at_least(sum[i], V{} + epilogue.lowest), V{} + epilogue.highest);
      if (epilogue.activate != nullptr) {
        float values[4];
        store<4>(values, result);
        epilogue.activate(values, 4);
        result = load<4>(values);
      }
      for (uint32_t r = 0; r < rows; ++r) work.output[first + r * work.output_plane + i] = result[r];
    }
  }
};

constexpr int tail_pixels(Form form) {
  return form == Form::kFlatPlus1 ? 1 : form == Form::kFlatPlus4 ? 4 : 0;
}

// Finishes and stores one row of a panel; `row`: where the channel starts in the output.
template <int Lanes, int Vectors, Form Shape>
EDGEWRIGHT_INLINE void finish_row(const Work& work, const Panel& panel, size_t row,
                                  typename Vector<Lanes>::type (&sum)[Vectors]) {
  using V = typename Vector<Lanes>::type;
  constexpr bool Flat = Shape != Form::kScattered && Shape != Form::kGaps;
  if constexpr (Shape == Form::kGaps) {
    V picked[Vectors];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const auto index = load_integers<Lanes>(work.picks + panel.picks + v * Lanes);
      picked[v] = pick<Lanes>(sum[v > 0 ? v - 1 : 0], sum[v], index);
    }
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[v] = picked[v];
  }
  if (work.residual != nullptr) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const size_t place = Flat ? panel.output[0] + v * Lanes : panel.output[v];
      sum[v] += load<Lanes>(work.residual + row + place);
    }
  }
  const V lowest = V{} + work.epilogue.lowest;
  const V highest = V{} + work.epilogue.highest;
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) sum[v] = at_most(at_least(sum[v], lowest), highest);
  if (work.epilogue.activate != nullptr) {
    // A copy: the accumulators themselves have no address, they are registers.
    float values[Vectors * Lanes];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) store<Lanes>(values + v * Lanes, sum[v]);
    work.epilogue.activate(values, Vectors * Lanes);
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[v] = load<Lanes>(values + v * Lanes);
  }
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const size_t place = Flat ? panel.output[0] + v * Lanes : panel.output[v];
    store<Lanes>(work.output + row + place, sum[v]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape>
EDGEWRIGHT_INLINE void multiply(const Work& work, const Block& block, const Panel& panel) {
  using V = typename Vector<Lanes>::type;
  constexpr bool Flat = Shape != Form::kScattered;
  const float* start[Flat ? 1 : Vectors];
  for (int v = 0; v < (Flat ? 1 : Vectors); ++v) start[v] = work.input + panel.input[v];

  V sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[r][v] = V{} + work.bias[block.channel + r];
  }
  Tail<tail_pixels(Shape)> tail;
  tail.start(work.bias + block.channel);
  const float* weight = work.weights + size_t{block.begin} * Rows;
  for (uint32_t tap = block.begin; tap < block.end; ++tap, weight += Rows) {
    const size_t offset = work.offsets[tap];
    V x[Vectors];
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      x[v] = load<Lanes>(Flat ? start[0] + offset + v * Lanes : start[Flat ? 0 : v] + offset);
      // Or the compiler reads the vector again for every row, which costs half of the speed
      // wherever loads cross cache lines.
      if constexpr (Rows > 1) EDGEWRIGHT_PIN(x[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[r][v] += weight[r] * x[v];
    }
    tail.add(weight, start[0] + offset + Vectors * Lanes);
  }
  const size_t first = block.channel * work.output_plane;
  tail.finish(work, first + panel.output[0] + Vectors * Lanes, block.rows);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (Rows > 1 && static_cast<uint32_t>(r) >= block.rows) return;
    finish_row<Lanes, Vectors, Shape>(work, panel, first + r * work.output_plane, sum[r]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape>
void run(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    for (size_t p = 0; p < work.num_panels; ++p) {
      multiply<Lanes, Rows, Vectors, Shape>(work, work.blocks[b], work.panels[p]);
    }
  }
}

// A single pixel: the lanes are the rows of the block. Several sums that do not wait for each
// other, added at the end.
template <int Rows>
void run_pixels(const Work& work) {
  constexpr int kSums = 4;
  using V = typename Vector<Rows>::type;
  for (size_t b = 0; b < work.num_blocks; ++b) {
    const Block& block = work.blocks[b];
    for (size_t p = 0; p < work.num_panels; ++p) {
      const float* x = work.input + work.panels[p].input[0];
      const float* weight = work.weights + size_t{block.begin} * Rows;
      const uint32_t* offset = work.offsets + block.begin;
      const uint32_t* const end = work.offsets + block.end;
      V sum[kSums]{};
      for (; end - offset >= kSums; offset += kSums, weight += kSums * Rows) {
#pragma GCC unroll 4
        for (int i = 0; i < kSums; ++i) sum[i] += load<Rows>(weight + i * Rows) * x[offset[i]];
      }
      for (; offset != end; ++offset, weight += Rows) sum[0] += load<Rows>(weight) * x[*offset];
      const V total = (sum[0] + sum[1]) + (sum[2] + sum[3]);
      Tail<1> tail;
      tail.start(work.bias + block.channel);
      for (int r = 0; r < Rows; ++r) tail.sum[0][r] += total[r];
      tail.finish(work, block.channel * work.output_plane + work.panels[p].output[0], block.rows);
    }
  }
}

template <int Lanes, int Rows, int Vectors>
KernelFunction with_form(Form form) {
  if (form == Form::kScattered) return run<Lanes, Rows, Vectors, Form::kScattered>;
  if (form == Form::kFlat) return run<Lanes, Rows, Vectors, Form::kFlat>;
  if constexpr (Lanes == kLanes && Vectors > 1) {
    if (form == Form::kGaps) return run<Lanes, Rows, Vectors, Form::kGaps>;
  }
  if constexpr (Lanes == kLanes && Rows == 4 && Vectors <= kTail) {
    if (form == Form::kFlatPlus1) return run<Lanes, Rows, Vectors, Form::kFlatPlus1>;
    if (form == Form::kFlatPlus4) return run<Lanes, Rows, Vectors, Form::kFlatPlus4>;
  }
  return nullptr;
}

template <int Lanes, int Rows, int Vectors>
KernelFunction with_vectors(uint32_t vectors, Form form) {
  if constexpr (Vectors == 0) {
    return nullptr;
  } else {
    if (vectors != Vectors) return with_vectors<Lanes, Rows, Vectors - 1>(vectors, form);
    return with_form<Lanes, Rows, Vectors>(form);
  }
}

template <int Lanes>
KernelFunction with_lanes(uint32_t rows, uint32_t vectors, Form form) {
  if (rows == 1) return with_vectors<Lanes, 1, kSingle>(vectors, form);
  if (rows == 4) return with_vectors<Lanes, 4, kBlock>(vectors, form);
  return nullptr;
}

KernelFunction find_pixels(uint32_t rows, uint32_t vectors) {
  if (vectors != 1) return nullptr;
  return rows == 1 ? run_pixels<1> : rows == 4 ? run_pixels<4> : nullptr;
}

KernelFunction find(uint32_t lanes, uint32_t rows, uint32_t vectors, Form form) {
  if (lanes == kLanes) return with_lanes<kLanes>(rows, vectors, form);
  if (lanes == 4) return with_lanes<4>(rows, vectors, form);
  if (lanes == 1) return find_pixels(rows, vectors);
  return nullptr;
}

}  // namespace

#define EDGEWRIGHT_TEXT2(x) #x
#define EDGEWRIGHT_TEXT(x) EDGEWRIGHT_TEXT2(x)

extern const InstructionSet EDGEWRIGHT_SET;
const InstructionSet EDGEWRIGHT_SET = {EDGEWRIGHT_TEXT(EDGEWRIGHT_SET),
                                       kLanes,
                                       kSingle,
                                       kBlock,
                                       kTail,
                                       find,
                                       copy_rows,
                                       activate<Silu>,
                                       activate<HardSwish>};

}  // namespace edgewright
