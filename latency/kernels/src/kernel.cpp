// Compiled once per instruction set, with EDGEWRIGHT_SET naming it and the flags that enable it.
#include "kernel.h"
#include "vector.h"

namespace edgewright {
namespace {

// Single pixels behind the vectors of a panel: the four rows of a block are the lanes.
template <int Pixels>
struct Tail {
  using V = Vector<4>::type;
  V sum[Pixels > 0 ? Pixels : 1];

  void start(const float* bias) {
    for (int i = 0; i < Pixels; ++i) sum[i] = load<4>(bias);
  }

  void add(const float* weights, const float* x) {
    if constexpr (Pixels > 0) {
      const V weight = load<4>(weights);
#pragma GCC unroll 4
      for (int i = 0; i < Pixels; ++i) sum[i] += weight * x[i];
    }
  }

  void finish(float lowest, float* row, size_t plane, uint32_t rows) {
    for (int i = 0; i < Pixels; ++i) {
      const V floor = V{} + lowest;
      const V result = floor > sum[i] ? floor : sum[i];
      for (uint32_t r = 0; r < rows; ++r) row[r * plane + i] = result[r];
    }
  }
};

constexpr int tail_pixels(Form form) {
  return form == Form::kFlatPlus1 ? 1 : form == Form::kFlatPlus4 ? 4 : 0;
}

template <int Lanes, int Rows, int Vectors, Form Shape>
inline __attribute__((always_inline)) void multiply(const Work& work, const Block& block, const Panel& panel) {
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
      if constexpr (Rows > 1 && Lanes > 1) EDGEWRIGHT_PIN(x[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) sum[r][v] += weight[r] * x[v];
    }
    tail.add(weight, start[0] + offset + Vectors * Lanes);
  }
  const V lowest = V{} + work.lowest;
  float* row = work.output + block.channel * work.output_plane;
  tail.finish(work.lowest, row + panel.output[0] + Vectors * Lanes, work.output_plane, block.rows);
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r) {
    if (Rows > 1 && static_cast<uint32_t>(r) >= block.rows) return;
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      const V result = lowest > sum[r][v] ? lowest : sum[r][v];  // a NaN stays a NaN
      store<Lanes>(Flat ? row + panel.output[0] + v * Lanes : row + panel.output[v], result);
    }
    row += work.output_plane;
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

template <int Lanes, int Rows, int Vectors>
KernelFunction with_form(Form form) {
  if (form == Form::kScattered) return run<Lanes, Rows, Vectors, Form::kScattered>;
  if (form == Form::kFlat) return run<Lanes, Rows, Vectors, Form::kFlat>;
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

KernelFunction find(uint32_t lanes, uint32_t rows, uint32_t vectors, Form form) {
  if (lanes == kLanes) return with_lanes<kLanes>(rows, vectors, form);
  if (lanes == 4) return with_lanes<4>(rows, vectors, form);
  if (lanes == 1) return with_lanes<1>(rows, vectors, form);
  return nullptr;
}

// Returns the end of the copy. `stride` is a constant after inlining, so that loops are vectors.
inline __attribute__((always_inline)) float* copy_row(float* target, const float* source,
                                                      size_t count, size_t stride) {
  size_t i = 0;
  if (stride == 1) {
    for (; i + kLanes <= count; i += kLanes) store<kLanes>(target + i, load<kLanes>(source + i));
    if (i < count && count >= kLanes) {  // the last vector overlaps the one before
      i = count - kLanes;
      store<kLanes>(target + i, load<kLanes>(source + i));
      i = count;
    }
  }
  for (; i < count; ++i) target[i] = source[i * stride];
  return target + count;
}

inline __attribute__((always_inline)) void copy_with_stride(const RowCopy& copy, size_t stride) {
  float* target = copy.target;
  const float* source = copy.source;
  for (size_t row = 0; row < copy.rows; ++row, source += copy.source_row) {
    for (size_t i = 0; i < copy.before; ++i) *target++ = 0.0f;
    target = copy_row(target, source, copy.count, stride);
    for (size_t i = 0; i < copy.after; ++i) *target++ = 0.0f;
  }
}

void copy_rows(const RowCopy& copy) {
  if (copy.stride == 1) {
    copy_with_stride(copy, 1);
  } else if (copy.stride == 2) {
    copy_with_stride(copy, 2);
  } else {
    copy_with_stride(copy, copy.stride);
  }
}

}  // namespace

#define EDGEWRIGHT_TEXT2(x) #x
#define EDGEWRIGHT_TEXT(x) EDGEWRIGHT_TEXT2(x)

extern const InstructionSet EDGEWRIGHT_SET;
const InstructionSet EDGEWRIGHT_SET = {EDGEWRIGHT_TEXT(EDGEWRIGHT_SET), kLanes, kSingle, kBlock,
                                       kTail, find, copy_rows};

}  // namespace edgewright
