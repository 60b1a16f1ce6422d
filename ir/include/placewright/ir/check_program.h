// An independent judge of a Program's memory plan and its waits: replays the blocks and watches who owns each byte.
// Shares nothing with the planner or the executor, so that a fault in either shows.
#pragma once

#include "placewright/ir/program.h"

namespace placewright {

// Error, which names the instructions and buffers, if
// - a buffer is read before it was written, or after another one was written over it (a live buffer reused);
// - a launch writes a buffer over a part of one that it reads (over all of it is reuse in place, which codegen allows);
// - two instructions on different streams touch the same bytes, one of them writing, with no Wait between them;
// - a result, or an update's value, does not hold its value at the end.
// Expects a program that verify_program accepts.
void check_program(const Program& program);

}  // namespace placewright
