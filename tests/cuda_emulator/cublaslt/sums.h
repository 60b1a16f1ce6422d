// The orders in which the algorithms sum products along the depth. Each rounds elsewhere: a choice is seen in the bits.
#pragma once

#include <cstdint>

namespace cublaslt_emulator {

enum class Order : uint8_t { forwards, backwards, four_lanes, halves };

struct Sum {
  int id;
  Order order;
  int parts;           // of the depth, each summed on its own; more than one: in workspace
  bool is_vectorised;  // 16 bytes at once
};

// The estimated best first.
constexpr Sum sums[] = {{11, Order::four_lanes, 1, true}, {24, Order::forwards, 2, false},
                        {3, Order::halves, 1, false},     {25, Order::backwards, 4, false},
                        {0, Order::forwards, 1, false},   {7, Order::backwards, 1, false}};

// As fused multiply-add but for double rounding.
inline float plus_product(float sum, float a, float b) { return static_cast<float>(static_cast<double>(a) * b + sum); }
inline double plus_product(double sum, double a, double b) { return sum + a * b; }

template <class T>
T sum_forwards(const T* a, const T* b, uint64_t count) {
  T sum = 0;
  for (uint64_t i = 0; i < count; ++i) sum = plus_product(sum, a[i], b[i]);
  return sum;
}

template <class T>
T sum_backwards(const T* a, const T* b, uint64_t count) {
  T sum = 0;
  for (uint64_t i = count; i > 0; --i) sum = plus_product(sum, a[i - 1], b[i - 1]);
  return sum;
}

template <class T>
T sum_four_lanes(const T* a, const T* b, uint64_t count) {
  T lanes[4] = {};
  for (uint64_t i = 0; i < count; ++i) lanes[i % 4] = plus_product(lanes[i % 4], a[i], b[i]);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

template <class T>
T sum_halves(const T* a, const T* b, uint64_t count) {
  if (count <= 8) return sum_forwards(a, b, count);
  const uint64_t half = count / 2;
  return sum_halves(a, b, half) + sum_halves(a + half, b + half, count - half);
}

template <class T>
T sum_products(Order order, const T* a, const T* b, uint64_t count) {
  switch (order) {
    case Order::forwards:
      return sum_forwards(a, b, count);
    case Order::backwards:
      return sum_backwards(a, b, count);
    case Order::four_lanes:
      return sum_four_lanes(a, b, count);
    case Order::halves:
      return sum_halves(a, b, count);
  }
  return 0;
}

}  // namespace cublaslt_emulator
