// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "kernel.h"

#include "copy_rows.h"
#include "vector.h"
#include "vector_activation.h"

namespace edgewright {
namespace {

// Values as they are read: all of them, or none below the layer's floor.
template <bool Clamps, typename V>
EDGEWRIGHT_INLINE V read(V x, V floor) {
  return Clamps ? at_least(x, floor) : x;
}

// Finishes and stores a block of one pixel: its rows are the lanes. `first`: where the block's
// first row has that pixel.
__attribute__((noinline)) void finish_pixel(const Work& work, size_t first, uint32_t rows,
                                            Vector<4>::type sum) {
  using V = Vector<4>::type;
  if (work.residual != nullptr) {
    for (uint32_t r = 0; r < rows; ++r) sum[r] += work.residual[first + r * work.output_plane];
  }
  const Epilogue& epilogue = work.epilogue;
  const V clamped = at_most(at_least(sum, V{} + epilogue.lowest), V{} + epilogue.highest);
  const V result = activate<4>(epilogue.curve, clamped);
  for (uint32_t r = 0; r < rows; ++r) work.output[first + r * work.output_plane] = result[r];
}

// Finishes and stores the rows of a panel with a curve, from sums that lie in memory row by row.
// Shared by all panels, because the code of a curve is long: only the innermost loops are worth
// code of their own.
template <int Lanes>
__attribute__((noinline)) void finish_curved(const Work& work, const Block& block,
                                             const Panel& panel, const float* sums, int vectors,
                                             bool gaps) {
  for (uint32_t r = 0; r < block.rows; ++r, sums += vectors * Lanes) {
    const size_t row = (block.channel + r) * work.output_plane;
    for (int v = 0; v < vectors; ++v) {
      auto sum = load<Lanes>(sums + v * Lanes);
      if (gaps) {
        const auto index = load_integers<Lanes>(work.picks + panel.picks + v * Lanes);
        sum = pick<Lanes>(load<Lanes>(sums + (v > 0 ? v - 1 : 0) * Lanes), sum, index);
      }
      const size_t place = row + panel.output[v];
      if (work.residual != nullptr) sum += load<Lanes>(work.residual + place);
      store<Lanes>(work.output + place, activate<Lanes>(work.epilogue.curve, sum));
    }
  }
}

// Single pixels behind the vectors of a panel: the four rows of a block are the lanes.
template <int Pixels>
struct Tail {
  using V = Vector<4>::type;
  V sum[Pixels > 0 ? Pixels : 1];

  EDGEWRIGHT_INLINE void start(const float* bias) {
    for (int i = 0; i < Pixels; ++i) sum[i] = load<4>(bias);
  }

  template <bool Clamps>
  EDGEWRIGHT_INLINE void add(const float* weights, const float* x, float floor) {
    if constexpr (Pixels > 0) {
      const V weight = load<4>(weights);
#pragma GCC unroll 4
      for (int i = 0; i < Pixels; ++i) sum[i] += weight * read<Clamps>(x[i], floor);
    }
  }

  // `first`: where the block's first row has its first pixel of the tail.
  EDGEWRIGHT_INLINE void finish(const Work& work, size_t first, uint32_t rows) {
    for (int i = 0; i < Pixels; ++i) finish_pixel(work, first + i, rows, sum[i]);
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
    const float* residual = work.residual + row;
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      sum[v] += load<Lanes>(residual + (Flat ? panel.output[0] + v * Lanes : panel.output[v]));
    }
  }
  if (work.is_capped) {
    const V highest = V{} + work.epilogue.highest;
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[v] = at_most(sum[v], highest);
  }
  const V lowest = V{} + work.epilogue.lowest;
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const size_t place = Flat ? panel.output[0] + v * Lanes : panel.output[v];
    store<Lanes>(work.output + row + place, at_least(sum[v], lowest));
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape>
EDGEWRIGHT_INLINE void finish(const Work& work, const Block& block, const Panel& panel,
                              typename Vector<Lanes>::type (&sum)[Rows][Vectors]) {
  if (work.epilogue.curve != ActivationKind::kNone) {
    // A copy: the accumulators themselves have no address, they are registers.
    float sums[Rows * Vectors * Lanes];
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) store<Lanes>(sums + (r * Vectors + v) * Lanes, sum[r][v]);
    }
    return finish_curved<Lanes>(work, block, panel, sums, Vectors, Shape == Form::kGaps);
  }
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (Rows > 1 && static_cast<uint32_t>(r) >= block.rows) return;
    finish_row<Lanes, Vectors, Shape>(work, panel, (block.channel + r) * work.output_plane,
                                      sum[r]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Clamps>
EDGEWRIGHT_INLINE void multiply(const Work& work, const Block& block, const Panel& panel) {
  using V = typename Vector<Lanes>::type;
  constexpr bool Flat = Shape != Form::kScattered;
  const float* start[Flat ? 1 : Vectors];
  for (int v = 0; v < (Flat ? 1 : Vectors); ++v) start[v] = work.input + panel.input[v];
  const V floor = V{} + work.floor;

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
      x[v] = read<Clamps>(x[v], floor);
      if constexpr (Rows > 1) EDGEWRIGHT_PIN(x[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[r][v] += weight[r] * x[v];
    }
    tail.template add<Clamps>(weight, start[0] + offset + Vectors * Lanes, work.floor);
  }
  finish<Lanes, Rows, Vectors, Shape>(work, block, panel, sum);
  const size_t behind = panel.output[0] + Vectors * Lanes;
  tail.finish(work, block.channel * work.output_plane + behind, block.rows);
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Clamps>
void run(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    for (size_t p = 0; p < work.num_panels; ++p) {
      multiply<Lanes, Rows, Vectors, Shape, Clamps>(work, work.blocks[b], work.panels[p]);
    }
  }
}

// A sum over the taps of a block for one pixel: its rows are the lanes.
template <int Rows>
EDGEWRIGHT_INLINE Vector<4>::type sum_pixel(const float* weight, const uint32_t* offset,
                                            const uint32_t* end, const float* x, float floor) {
  constexpr int kSums = 4;  // that do not wait for each other
  if constexpr (Rows == 1) {
    float sum[kSums]{};
    for (; end - offset >= kSums; offset += kSums, weight += kSums) {
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) sum[i] += weight[i] * at_least(x[offset[i]], floor);
    }
    for (; offset != end; ++offset, ++weight) sum[0] += *weight * at_least(x[*offset], floor);
    return Vector<4>::type{(sum[0] + sum[1]) + (sum[2] + sum[3])};
  } else {
    Vector<4>::type sum[kSums]{};
    for (; end - offset >= kSums; offset += kSums, weight += kSums * Rows) {
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) {
        sum[i] += load<Rows>(weight + i * Rows) * at_least(x[offset[i]], floor);
      }
    }
    for (; offset != end; ++offset, weight += Rows) {
      sum[0] += load<Rows>(weight) * at_least(x[*offset], floor);
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
}

template <int Rows>
void run_pixels(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    const Block& block = work.blocks[b];
    const auto bias = load<4>(work.bias + block.channel);
    for (size_t p = 0; p < work.num_panels; ++p) {
      const auto sum = sum_pixel<Rows>(work.weights + size_t{block.begin} * Rows,
                                       work.offsets + block.begin, work.offsets + block.end,
                                       work.input + work.panels[p].input[0], work.floor);
      finish_pixel(work, block.channel * work.output_plane + work.panels[p].output[0],
                   block.rows, bias + sum);
    }
  }
}

// Every function costs a fraction of a second wherever the library is compiled, so there is none
// but for what large images need: vectors without a floor, and with one.
template <int Rows, int Vectors, bool Clamps>
KernelFunction with_form(Form form) {
  if (form == Form::kScattered) return run<kLanes, Rows, Vectors, Form::kScattered, Clamps>;
  if (form == Form::kFlat) return run<kLanes, Rows, Vectors, Form::kFlat, Clamps>;
  if constexpr (Vectors > 1 && !Clamps) {
    if (form == Form::kGaps) return run<kLanes, Rows, Vectors, Form::kGaps, Clamps>;
  }
  if constexpr (Rows == 4 && Vectors <= kTail) {
    if (form == Form::kFlatPlus1) return run<kLanes, Rows, Vectors, Form::kFlatPlus1, Clamps>;
    if (form == Form::kFlatPlus4) return run<kLanes, Rows, Vectors, Form::kFlatPlus4, Clamps>;
  }
  return nullptr;
}

template <int Rows, int Vectors>
KernelFunction find_wide(const Choice& choice) {
  if constexpr (Vectors == 0) {
    return nullptr;
  } else {
    if (choice.vectors != Vectors) return find_wide<Rows, Vectors - 1>(choice);
    return choice.clamps ? with_form<Rows, Vectors, true>(choice.form)
                         : with_form<Rows, Vectors, false>(choice.form);
  }
}

// Fewer pixels than a vector has lanes: any form is scattered, any floor is applied.
template <int Rows, int Vectors>
KernelFunction find_narrow(const Choice& choice) {
  if constexpr (Vectors == 0) {
    return nullptr;
  } else {
    if (choice.vectors != Vectors) return find_narrow<Rows, Vectors - 1>(choice);
    return run<4, Rows, Vectors, Form::kScattered, true>;
  }
}

template <int Rows, int Vectors>
KernelFunction find_of_rows(const Choice& choice) {
  if (choice.lanes == kLanes) return find_wide<Rows, Vectors>(choice);
  if (kLanes > 4 && choice.lanes == 4) return find_narrow<Rows, kLanes / 4>(choice);
  return choice.lanes == 1 && choice.vectors == 1 ? run_pixels<Rows> : nullptr;
}

KernelFunction find(const Choice& choice) {
  if (choice.rows == 1) return find_of_rows<1, kSingle>(choice);
  return choice.rows == 4 ? find_of_rows<4, kBlock>(choice) : nullptr;
}

}  // namespace

#define EDGEWRIGHT_TEXT2(x) #x
#define EDGEWRIGHT_TEXT(x) EDGEWRIGHT_TEXT2(x)

extern const InstructionSet EDGEWRIGHT_SET;
const InstructionSet EDGEWRIGHT_SET = {
    EDGEWRIGHT_TEXT(EDGEWRIGHT_SET), kLanes, kSingle, kBlock, kTail, find, copy_rows};

}  // namespace edgewright
