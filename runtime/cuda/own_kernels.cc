#include "own_kernels.h"

#include <fmt/format.h>

namespace placewright {
namespace {

constexpr const char* header = R"(.version 7.0
.target sm_70
.address_size 64
)";

// Each thread takes every (threads of the grid)-th element.
constexpr const char* accumulate = R"(
.visible .entry accumulate_{name}(.param .u64 to, .param .u64 from, .param .u64 count)
{{
  .reg .pred %p<2>;
  .reg .b32 %r<5>;
  .reg .b64 %rd<10>;
  .reg .{type} %v<4>;
  ld.param.u64 %rd1, [to];
  ld.param.u64 %rd2, [from];
  ld.param.u64 %rd3, [count];
  cvta.to.global.u64 %rd1, %rd1;
  cvta.to.global.u64 %rd2, %rd2;
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %ntid.x;
  mov.u32 %r3, %tid.x;
  mov.u32 %r4, %nctaid.x;
  mul.wide.u32 %rd4, %r1, %r2;
  cvt.u64.u32 %rd5, %r3;
  add.s64 %rd4, %rd4, %rd5;
  mul.wide.u32 %rd6, %r2, %r4;
next:
  setp.ge.s64 %p1, %rd4, %rd3;
  @%p1 bra done;
  shl.b64 %rd7, %rd4, {shift};
  add.s64 %rd8, %rd1, %rd7;
  add.s64 %rd9, %rd2, %rd7;
  ld.global.{type} %v1, [%rd8];
  ld.global.{type} %v2, [%rd9];
  add.{add} %v3, %v1, %v2;
  st.global.{type} [%rd8], %v3;
  add.s64 %rd4, %rd4, %rd6;
  bra next;
done:
  ret;
}}
)";

}  // namespace

std::string own_kernels_text() {
  using fmt::arg;
  std::string text = header;
  auto add = [&](const char* name, const char* type, const char* sum, int shift) {
    text += fmt::format(fmt::runtime(accumulate), arg("name", name), arg("type", type), arg("add", sum),
                        arg("shift", shift));
  };
  add("f32", "f32", "rn.f32", 2);
  add("f64", "f64", "rn.f64", 3);
  add("i32", "b32", "s32", 2);
  add("i64", "b64", "s64", 3);
  return text;
}

}  // namespace placewright
