// LLVM's archives were made where the C library has arc4random (glibc 2.36): with one of our own the library opens on
// older systems too. LLVM draws names of temporary files with it, nothing else.
#include <cstdint>
#include <cstdlib>

#include <sys/random.h>

extern "C" uint32_t arc4random() noexcept {
  uint32_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) std::abort();
  return number;
}
