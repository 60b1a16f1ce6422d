// A value that its copies share until one of them is changed, so that a copy costs no more than a pointer. Copies may
// be used on several threads, as values may: only what nobody else holds is written to.
#pragma once

#include <atomic>
#include <utility>

namespace placewright {

template <typename T>
class Shared {
 public:
  Shared() = default;  // T(), which takes no memory
  explicit Shared(T value) : block_(new Block{std::move(value)}) {}
  Shared(const Shared& other) noexcept : block_(other.block_) {
    if (block_) block_->holders.fetch_add(1, std::memory_order_relaxed);
  }
  Shared(Shared&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}  // `other` is T() then
  Shared& operator=(Shared other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Shared() {
    if (block_ && block_->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete block_;
  }

  const T& operator*() const { return block_ ? block_->value : initial(); }
  const T* operator->() const { return &**this; }

  // To be changed at once: a copy that is made while the reference is kept would change with it.
  T& own() {
    if (!block_)
      block_ = new Block{T()};
    else if (block_->holders.load(std::memory_order_acquire) > 1)
      *this = Shared(T(block_->value));
    return block_->value;
  }

  friend bool operator==(const Shared& a, const Shared& b) { return a.block_ == b.block_ || *a == *b; }

 private:
  struct Block {
    T value;
    std::atomic<int> holders{1};
  };

  static const T& initial() {
    static const T value{};
    return value;
  }

  Block* block_ = nullptr;
};

}  // namespace placewright
