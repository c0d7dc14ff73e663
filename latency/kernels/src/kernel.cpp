// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "kernel.h"

#include "copy_rows.h"
#include "vector.h"
#include "vector_activation.h"

namespace edgewright {
namespace {

// Returns the same pointer, to something that the compiler knows nothing of: it reads what it needs
// again, or would keep it in vector registers and on the stack, which costs more.
template <typename T>
EDGEWRIGHT_INLINE const T* forget(const T* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

// What runs where no better instruction set was compiled for need not be fast in every way.
#if defined(__AVX2__) || defined(__aarch64__)
constexpr bool kFast = true;
#else
constexpr bool kFast = false;
#endif

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
  const V clamped = at_most(at_least(sum, epilogue.lowest - V{}), epilogue.highest - V{});
  const V result = activate<4>(epilogue.curve, clamped);
  for (uint32_t r = 0; r < rows; ++r) work.output[first + r * work.output_plane] = result[r];
}

// Finishes and stores the rows of a panel, from sums that lie in memory row by row. One function
// for all panels that end with a curve, because the code of a curve is long.
template <int Lanes>
__attribute__((noinline)) void finish_from_memory(const Work& work, const Block& block,
                                             const Panel& panel, const float* sums, int vectors,
                                             bool gaps) {
  const auto lowest = work.epilogue.lowest - typename Vector<Lanes>::type{};
  const auto highest = work.epilogue.highest - typename Vector<Lanes>::type{};
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
      sum = at_most(at_least(sum, lowest), highest);
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
    if (work.ending == Ending::kPlain && rows == 4) {
      for (int i = 0; i < Pixels; ++i) {
        const V result = at_least(sum[i], work.epilogue.lowest - V{});
        float* output = work.output + first + i;
        for (int r = 0; r < 4; ++r) output[r * work.output_plane] = result[r];
      }
      return;
    }
    for (int i = 0; i < Pixels; ++i) finish_pixel(work, first + i, rows, sum[i]);
  }
};

constexpr int tail_pixels(Form form) {
  return form == Form::kFlatPlus1 ? 1 : form == Form::kFlatPlus4 ? 4 : 0;
}

// Finishes and stores one row of a panel; `row`: where the channel starts in the output.
template <int Lanes, int Vectors, Form Shape, Ending End>
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
  const V lowest = work.epilogue.lowest - V{};
  const V highest = work.epilogue.highest - V{};
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) {
    const size_t place = row + (Flat ? panel.output[0] + v * Lanes : panel.output[v]);
    if (End == Ending::kAdds) sum[v] += load<Lanes>(work.residual + place);
    sum[v] = at_least(sum[v], lowest);
    if (End != Ending::kPlain) sum[v] = at_most(sum[v], highest);
    store<Lanes>(work.output + place, sum[v]);
  }
}

template <int Lanes, int Rows, int Vectors, Form Shape, Ending End>
EDGEWRIGHT_INLINE void finish_rows(const Work& work, const Block& block, const Panel& panel,
                                   typename Vector<Lanes>::type (&sum)[Rows][Vectors]) {
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (Rows > 1 && static_cast<uint32_t>(r) >= block.rows) return;
    const size_t row = (block.channel + r) * work.output_plane;
    finish_row<Lanes, Vectors, Shape, End>(work, panel, row, sum[r]);
  }
}

// `Often`: whether such panels are often finished with more than a clamp from below, by code of
// their own.
template <int Lanes, int Rows, int Vectors, Form Shape, bool Often>
EDGEWRIGHT_INLINE void finish(const Work& work, const Block& block, const Panel& panel,
                              typename Vector<Lanes>::type (&sum)[Rows][Vectors]) {
  if (work.ending == Ending::kPlain) {
    return finish_rows<Lanes, Rows, Vectors, Shape, Ending::kPlain>(work, block, panel, sum);
  }
  if (Often && work.ending == Ending::kCaps) {
    return finish_rows<Lanes, Rows, Vectors, Shape, Ending::kCaps>(work, block, panel, sum);
  }
  if (Often && work.ending == Ending::kAdds) {
    return finish_rows<Lanes, Rows, Vectors, Shape, Ending::kAdds>(work, block, panel, sum);
  }
  // A copy: the accumulators themselves have no address, they are registers.
  float sums[Rows * Vectors * Lanes];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) store<Lanes>(sums + (r * Vectors + v) * Lanes, sum[r][v]);
  }
  finish_from_memory<Lanes>(work, block, panel, sums, Vectors, Shape == Form::kGaps);
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Clamps>
EDGEWRIGHT_INLINE void multiply(const Work& work, const Block& block, const Panel& panel) {
  using V = typename Vector<Lanes>::type;
  constexpr bool Flat = Shape != Form::kScattered;
  const float* start[Flat ? 1 : Vectors];
  for (int v = 0; v < (Flat ? 1 : Vectors); ++v) start[v] = work.input + panel.input[v];
  const V floor = work.floor - V{};  // V{} + x is no broadcast: it turns -0 into 0

  V sum[Rows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) sum[r][v] = work.bias[block.channel + r] - V{};
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
  // What follows computes its addresses itself, instead of keeping them during the loop.
  const Work* const whole = forget(&work);
  const Block* const rows = forget(&block);
  const Panel* const place = forget(&panel);
  constexpr bool kOften =
      kFast && Lanes == kLanes && Shape != Form::kScattered && !Clamps;
  finish<Lanes, Rows, Vectors, Shape, kOften>(*whole, *rows, *place, sum);
  const size_t behind = place->output[0] + Vectors * Lanes;
  tail.finish(*whole, rows->channel * whole->output_plane + behind, rows->rows);
}

template <int Lanes, int Rows, int Vectors, Form Shape, bool Clamps>
void run(const Work& work) {
  for (size_t b = 0; b < work.num_blocks; ++b) {
    for (size_t p = 0; p < work.num_panels; ++p) {
      const Work* const fresh = forget(&work);  // often there is no next panel to keep it for
      multiply<Lanes, Rows, Vectors, Shape, Clamps>(*fresh, fresh->blocks[b], fresh->panels[p]);
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
  if constexpr (Rows == 4 && Vectors <= kTail && !Clamps) {
    if (form == Form::kFlatPlus1) return run<kLanes, Rows, Vectors, Form::kFlatPlus1, Clamps>;
    if constexpr (kLanes > 8) {
      if (form == Form::kFlatPlus4) return run<kLanes, Rows, Vectors, Form::kFlatPlus4, Clamps>;
    }
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
