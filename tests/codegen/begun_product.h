// A kernel that begins with a product of matrices of 2^21 multiply-adds, for tests of what goes on with it.
#pragma once

#include <string_view>

namespace placewright::testing {

// Its epilogue asks for its place, and takes from a table what an index says, in the table's range or not.
inline constexpr std::string_view looked_up = R"(kernel "k0" {
  buffer "a" input f32[128,128]
  buffer "b" input f32[128,128]
  buffer "table" input f32[3,128]
  buffer "rows" input i64[128]
  buffer "out" output f32[128,128]
  stage "dot" [128, 128, 128] reduced [2] {
    access b0[d0, d2]
    access b1[d2, d1]
    access b3[d0]
    access b2[0, d1] outside 7 indirect 0 n1
    access b4[d0, d1]
    body {
      n0 = load f32 0
      n1 = load f32 1
      n2 = mul f32 n0 n1
    }
    reduce sum {
      state f32 n2 from constant f32 0
    }
    epilogue {
      n0 = reduced f32 0
      n1 = load i64 2
      n2 = load f32 3
      n3 = index i64 1
      n4 = cast f32 n3
      n5 = add f32 n0 n2
      n6 = mul f32 n5 n4
    }
    epilogue_store a4 n6
  }
}
)";

}  // namespace placewright::testing
