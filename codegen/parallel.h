// Independent pieces of compile-time work on several threads.
#pragma once

#include <cstddef>
#include <functional>

namespace placewright {

// Calls body(0) ... body(count - 1), each once, on at most `threads` threads, this one included, in any order: what a
// piece makes must not depend on the others. Throws what the first piece that failed threw.
void parallel_for(int threads, size_t count, const std::function<void(size_t)>& body);

}  // namespace placewright
