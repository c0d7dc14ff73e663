// The sizes of a tensor, without memory of its own: a run asks for several.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace edgewright {

class Shape {
 public:
  static constexpr size_t kMaxRank = 4;  // of the tensors that any operator takes

  // A tensor of more dimensions has its rank, and sizes for the first kMaxRank of them only.
  explicit Shape(size_t rank) : rank_(rank) {}
  Shape(std::initializer_list<int64_t> sizes) : rank_(sizes.size()) {
    std::copy_n(sizes.begin(), num_known(), sizes_.begin());
  }

  size_t size() const { return rank_; }
  size_t num_known() const { return std::min(rank_, kMaxRank); }
  int64_t* data() { return sizes_.data(); }
  const int64_t* data() const { return sizes_.data(); }
  int64_t operator[](size_t axis) const { return sizes_[axis]; }

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.rank_ == b.rank_ && a.rank_ <= kMaxRank && a.sizes_ == b.sizes_;
  }
  friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }

 private:
  size_t rank_;
  std::array<int64_t, kMaxRank> sizes_{};  // zeros behind the last one
};

}  // namespace edgewright
