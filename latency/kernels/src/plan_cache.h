// The plan of a node for the image size that it saw last.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

namespace edgewright {

template <typename Plan>
class PlanCache {
 public:
  // Returns the plan for this size, made by `make()` unless it is that of the run before. One
  // session may be run by many threads at once, with images of different sizes.
  template <typename Make>
  std::shared_ptr<const Plan> get(uint32_t height, uint32_t width, const Make& make) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (plan_ == nullptr || plan_->height != height || plan_->width != width) {
      plan_ = std::make_shared<const Plan>(make());
    }
    return plan_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Plan> plan_;
};

}  // namespace edgewright
