// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "kernel.h"

#include "activate.h"
#include "copy_rows.h"
#include "vector.h"

namespace edgewright {
namespace {

template <bool Relu, typename V>
EDGEWRIGHT_INLINE V read(V x) {
  return Relu ? at_least(x, V{}) : x;
}

// Single pixels behind the vectors of a panel: the four rows of a block are the lanes.
template <int Pixels>
struct Tail {
  using V = Vector<4>::type;
  V sum[Pixels > 0 ? Pixels : 1];

  EDGEWRIGHT_INLINE void start(const float* bias) {
    for (int i = 0; i < Pixels; ++i) sum[i] = load<4>(bias);
  }

  template <bool Relu>
  EDGEWRIGHT_INLINE void add(const float* weights, const float* x) {
    if constexpr (Pixels > 0) {
      const V weight = load<4>(weights);
#pragma GCC unroll 4
      for (int i = 0; i < Pixels; ++i) sum[i] += weight * read<Relu>(x[i]);
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
      float* output = work.output + first + i;
      for (uint32_t r = 0; r < rows; ++r) output[r * work.output_plane] = result[r];
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
  const V lowest = V{} + work.epilogue.lowest;
  if (work.is_plain) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[v] = at_least(sum[v], lowest);
  } else {
    const float* residual = work.residual == nullptr ? nullptr : work.residual + row;
    if (residual != nullptr) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) {
        sum[v] += load<Lanes>(residual + (Flat ? panel.output[0] + v * Lanes : panel.output[v]));
      }
    }
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
  }
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const size_t place = Flat ? panel.output[0] + v * Lanes : panel.output[v];
    store<Lanes>(work.output + row + place, sum[v]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Relu>
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
      x[v] = read<Relu>(x[v]);
      if constexpr (Rows > 1) EDGEWRIGHT_PIN(x[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[r][v] += weight[r] * x[v];
    }
    tail.template add<Relu>(weight, start[0] + offset + Vectors * Lanes);
  }
  const size_t first = block.channel * work.output_plane;
  tail.finish(work, first + panel.output[0] + Vectors * Lanes, block.rows);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (Rows > 1 && static_cast<uint32_t>(r) >= block.rows) return;
    finish_row<Lanes, Vectors, Shape>(work, panel, first + r * work.output_plane, sum[r]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Relu>
void run(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    for (size_t p = 0; p < work.num_panels; ++p) {
      multiply<Lanes, Rows, Vectors, Shape, Relu>(work, work.blocks[b], work.panels[p]);
    }
  }
}

// A sum over the taps of a block for one pixel: its rows are the lanes.
template <int Rows, bool Relu>
EDGEWRIGHT_INLINE Vector<4>::type sum_pixel(const float* weight, const uint32_t* offset,
                                            const uint32_t* end, const float* x) {
  constexpr int kSums = 4;  // that do not wait for each other
  if constexpr (Rows == 1) {
    float sum[kSums]{};
    for (; end - offset >= kSums; offset += kSums, weight += kSums) {
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) sum[i] += weight[i] * read<Relu>(x[offset[i]]);
    }
    for (; offset != end; ++offset, ++weight) sum[0] += *weight * read<Relu>(x[*offset]);
    return Vector<4>::type{(sum[0] + sum[1]) + (sum[2] + sum[3])};
  } else {
    Vector<4>::type sum[kSums]{};
    for (; end - offset >= kSums; offset += kSums, weight += kSums * Rows) {
#pragma GCC unroll 4
      for (int i = 0; i < kSums; ++i) {
        sum[i] += load<Rows>(weight + i * Rows) * read<Relu>(x[offset[i]]);
      }
    }
    for (; offset != end; ++offset, weight += Rows) {
      sum[0] += load<Rows>(weight) * read<Relu>(x[*offset]);
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
  }
}

template <int Rows, bool Relu>
void run_pixels(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    const Block& block = work.blocks[b];
    for (size_t p = 0; p < work.num_panels; ++p) {
      Tail<1> pixel;
      pixel.start(work.bias + block.channel);
      pixel.sum[0] += sum_pixel<Rows, Relu>(work.weights + size_t{block.begin} * Rows,
                                      work.offsets + block.begin, work.offsets + block.end,
                                      work.input + work.panels[p].input[0]);
      pixel.finish(work, block.channel * work.output_plane + work.panels[p].output[0],
                   block.rows);
    }
  }
}

template <int Lanes, int Rows, int Vectors, bool Relu>
KernelFunction with_form(Form form) {
  if (form == Form::kScattered) return run<Lanes, Rows, Vectors, Form::kScattered, Relu>;
  if (form == Form::kFlat) return run<Lanes, Rows, Vectors, Form::kFlat, Relu>;
  if constexpr (Lanes == kLanes && Vectors > 1 && !Relu) {
    if (form == Form::kGaps) return run<Lanes, Rows, Vectors, Form::kGaps, Relu>;
  }
  if constexpr (Lanes == kLanes && Rows == 4 && Vectors <= kTail) {
    if (form == Form::kFlatPlus1) return run<Lanes, Rows, Vectors, Form::kFlatPlus1, Relu>;
    if (form == Form::kFlatPlus4) return run<Lanes, Rows, Vectors, Form::kFlatPlus4, Relu>;
  }
  return nullptr;
}

template <int Lanes, int Rows, int Vectors>
KernelFunction with_vectors(const Choice& choice) {
  if constexpr (Vectors == 0) {
    return nullptr;
  } else {
    if (choice.vectors != Vectors) return with_vectors<Lanes, Rows, Vectors - 1>(choice);
    return choice.relu ? with_form<Lanes, Rows, Vectors, true>(choice.form)
                       : with_form<Lanes, Rows, Vectors, false>(choice.form);
  }
}

template <int Lanes>
KernelFunction with_lanes(const Choice& choice) {
  if (choice.rows == 1) return with_vectors<Lanes, 1, kSingle>(choice);
  if (choice.rows == 4) return with_vectors<Lanes, 4, kBlock>(choice);
  return nullptr;
}

template <bool Relu>
KernelFunction find_pixels(const Choice& choice) {
  if (choice.vectors != 1) return nullptr;
  return choice.rows == 1 ? run_pixels<1, Relu> : choice.rows == 4 ? run_pixels<4, Relu> : nullptr;
}

KernelFunction find(const Choice& choice) {
  if (choice.lanes == kLanes) return with_lanes<kLanes>(choice);
  if (choice.lanes == 4) return with_lanes<4>(choice);
  if (choice.lanes != 1) return nullptr;
  return choice.relu ? find_pixels<true>(choice) : find_pixels<false>(choice);
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
