// Work on the threads of the session, and memory that its threads keep.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <utility>

#include "ort_api.h"

namespace edgewright {

constexpr size_t kMaxBatches = 32;  // pieces that a parallel loop is cut into

template <typename Body>
struct Loop {
  const Body& body;
  std::atomic<bool> failed{false};

  static void step(void* self, size_t index) {
    auto& loop = *static_cast<Loop*>(self);
    try {
      loop.body(index);
    } catch (...) {  // nothing may be thrown through the runtime's C interface
      loop.failed = true;
    }
  }
};

// Calls body(0) ... body(total - 1) on the threads of the session.
template <typename Body>
void parallel_for(const OrtKernelContext* context, size_t total, const Body& body) {
  if (total == 0) return;
  if (total == 1) return body(0);
  Loop<Body> loop{body};
  check(api().KernelContext_ParallelFor(context, Loop<Body>::step, total,
                                        std::min(total, kMaxBatches), &loop));
  if (loop.failed) throw std::runtime_error("out of memory in a parallel loop");
}

// Memory of a thread that grows and stays: a tile prepared before is still in its cache.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(data_, kAlignment); }

  float* reserve(size_t count) {
    if (count > size_) {
      ::operator delete(std::exchange(data_, nullptr), kAlignment);
      size_ = 0;
      data_ = static_cast<float*>(::operator new(count * sizeof(float), kAlignment));
      size_ = count;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t kAlignment{64};

  float* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace edgewright
