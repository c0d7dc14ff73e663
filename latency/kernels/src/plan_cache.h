// The plans of a node by the size of its images.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

namespace edgewright {

// Most sessions only ever see one size: the plan of the first one is kept for good and found
// without a lock. Of other sizes the last one is kept.
template <typename Plan>
class PlanCache {
 public:
  PlanCache() = default;
  PlanCache(const PlanCache&) = delete;
  PlanCache& operator=(const PlanCache&) = delete;
  ~PlanCache() { delete first_.load(); }

  // Returns the plan for this size, made by `make()` if need be; no longer alive than the cache.
  // One session may be run by many threads at once, with images of different sizes.
  template <typename Make>
  std::shared_ptr<const Plan> get(uint32_t height, uint32_t width, const Make& make) {
    const Plan* const first = first_.load(std::memory_order_acquire);
    if (first != nullptr && fits(*first, height, width)) return borrow(first);
    const std::lock_guard<std::mutex> guard(mutex_);
    const Plan* const made_since = first_.load(std::memory_order_relaxed);
    if (made_since == nullptr) {
      const Plan* const plan = new Plan(make());
      first_.store(plan, std::memory_order_release);
      return borrow(plan);
    }
    if (fits(*made_since, height, width)) return borrow(made_since);
    if (last_ == nullptr || !fits(*last_, height, width)) {
      last_ = std::make_shared<const Plan>(make());
    }
    return last_;
  }

 private:
  static bool fits(const Plan& plan, uint32_t height, uint32_t width) {
    return plan.height == height && plan.width == width;
  }
  // A pointer that counts nothing.
  static std::shared_ptr<const Plan> borrow(const Plan* plan) {
    return std::shared_ptr<const Plan>(std::shared_ptr<const Plan>(), plan);
  }

  std::atomic<const Plan*> first_{nullptr};
  std::mutex mutex_;
  std::shared_ptr<const Plan> last_;
};

}  // namespace edgewright
