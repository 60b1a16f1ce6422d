// The families of ops. op_table() lists them all, in this order; a new family is one line here and one in op_table.cc.
#pragma once

#include <vector>

#include "placewright/ir/builder.h"
#include "placewright/ir/op_table.h"

namespace placewright::ops {

std::vector<OpEntry> structural();      // input constant fused gradient transfer relayout all_reduce
std::vector<OpEntry> elementwise();     // unary and binary maths, comparisons, select, cast, clamp
std::vector<OpEntry> shaping();         // reshape transpose broadcast slice pad concat reverse size_of
std::vector<OpEntry> reductions();      // reduce_sum ... argmin
std::vector<OpEntry> indexing();        // gather scatter_add iota
std::vector<OpEntry> contractions();    // dot_general
std::vector<OpEntry> convolutions();    // conv and its gradients
std::vector<OpEntry> windows();         // max and average pooling and their gradients
std::vector<OpEntry> random();          // Philox
std::vector<OpEntry> activations();     // relu ... gelu
std::vector<OpEntry> normalisations();  // softmax mean variance layer_norm
std::vector<OpEntry> losses();          // mse l1 nll cross_entropy
std::vector<OpEntry> composites();      // linear matmul embedding one_hot dropout avg_pool

}  // namespace placewright::ops
