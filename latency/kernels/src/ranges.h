// Numbers of a node that are not yet trusted: attributes and shapes.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgewright {

constexpr int64_t kMaxSize = 65536;  // of any dimension, stride, dilation or padding
constexpr int64_t kMaxImageSide = 1 << 24;

// Throws std::invalid_argument that begins with `what` unless lowest <= value <= kMaxSize.
inline uint32_t in_range(int64_t value, int64_t lowest, const char* what) {
  if (value < lowest || value > kMaxSize) {
    throw std::invalid_argument(std::string(what) + " must be from " + std::to_string(lowest) +
                                " to " + std::to_string(kMaxSize) + ", got " +
                                std::to_string(value));
  }
  return static_cast<uint32_t>(value);
}

// The same for each of `Count` values.
template <size_t Count>
std::array<uint32_t, Count> all_in_range(const std::vector<int64_t>& values, int64_t lowest,
                                         const char* what) {
  std::array<uint32_t, Count> checked{};
  for (size_t i = 0; i < Count; ++i) checked[i] = in_range(values.at(i), lowest, what);
  return checked;
}

// Height or width of an input.
inline uint32_t image_side(int64_t size) {
  if (size < 1 || size > kMaxImageSide) throw std::invalid_argument("image size out of range");
  return static_cast<uint32_t>(size);
}

}  // namespace edgewright
