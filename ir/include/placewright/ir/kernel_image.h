// Machine code as data: codegen makes it, a device loads it, the cache and artefacts store it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "placewright/ir/dtype.h"
#include "placewright/ir/kernel_resources.h"

namespace placewright {

enum class Precision : uint8_t;

// The kernel ABI of CPU images (format "elf-x86-64"): each phase of an entry is
//   extern "C" void symbol(void* const* buffers, const int64_t* scalars, int64_t begin, int64_t end, uint64_t* status);
// `buffers` holds operands, then results, then workspaces; [begin, end) is a part of [0, extent). Parts may run at the
// same time on several threads and in any order; `status` takes the bits of Status by atomic or.
inline constexpr uint32_t kernel_abi_version = 1;

// The kernel ABI of images whose phases are grids of threads (formats "ptx" and "cubin"): each symbol takes, eight
// bytes each, the addresses of operands, results and workspaces, then that of the status word, then the scalars. All
// phases of an entry take the same parameters.

struct KernelPhase {
  std::string symbol;
  int64_t extent = 1;  // iterations of the thread loop; 1: serial
  int64_t grain = 1;   // iterations worth handing to one thread at least
  // Of a grid: groups of threads (x, y, z) that share memory and meet at barriers. None in x: nothing to run.
  std::array<int64_t, 3> groups{0, 1, 1};
  std::array<int64_t, 3> group_threads{1, 1, 1};
  int64_t shared_bytes = 0;  // of each group, beside what the code itself declares
  friend bool operator==(const KernelPhase&, const KernelPhase&) = default;
};

// An entry that is, or begins with, one product of matrices, in words that any library of such products understands:
//   result[b, r, c] = activation(scale * sum over d of left[b, r, d] * right[b, d, c] + bias[c])
// all of one dtype. Neighbouring columns of the result are neighbours in memory. Sums may be taken in another order,
// and factors rounded as `precision` allows.
struct Contraction {
  enum class Activation : uint8_t { none, relu, gelu };  // relu: 0 where x < 0; gelu: the form with tanh
  // Where a launch's buffer holds one, in elements: its first one, and how far it is to the next row (of left: r, of
  // right: d), to the next column (of left: d, of right: c), and to the next of the batch (0: all have the same). One
  // of row and column is 1, the other is as large as what it steps over or larger, also where there is but one.
  struct Matrix {
    int buffer = -1;
    int64_t offset = 0, row = 0, column = 0, batch = 0;
    friend bool operator==(const Matrix&, const Matrix&) = default;
  };
  DType dtype = DType::f32;
  Precision precision{};
  int64_t batch = 1, rows = 1, columns = 1, depth = 1;
  Matrix left, right, result;
  double scale = 1;
  int bias = -1;  // a buffer; -1: none
  Activation activation = Activation::none;
  friend bool operator==(const Contraction&, const Contraction&) = default;
};
// "2 x 128 x 64 x 32 f32 (tf32), right transposed, bias, relu": batch, rows, columns, depth.
std::string describe(const Contraction& contraction);

struct KernelEntry {
  std::string name;
  std::vector<KernelPhase> phases;       // run in order, each complete before the next
  std::vector<int64_t> workspace_bytes;  // of each workspace buffer, shared by the phases, 64-byte aligned
  // What a device with a library for such products may run instead of the phases; followed, if the entry does more than
  // the product, by `rest`.
  std::optional<Contraction> contraction = {};
  // Phases that make of the product's result what the entry makes. The result is then in memory that the device finds
  // for it, dense, counted as one buffer behind all of a launch's; these phases take its address behind theirs.
  std::vector<KernelPhase> rest = {};
  std::vector<int> written = {};  // of a grid: the buffers of a launch that its phases write, workspaces among them
  friend bool operator==(const KernelEntry&, const KernelEntry&) = default;
};

struct KernelImage {
  std::string format;  // "elf-x86-64", "ptx", "cubin"
  std::string target;  // CPU and features, or compute capability: refused by devices that lack them
  uint32_t abi_version = kernel_abi_version;
  std::vector<uint8_t> bytes;
  std::vector<KernelEntry> entries;
  std::vector<KernelResources> resources = {};  // of phases, by symbol, where the compiler reports them
  friend bool operator==(const KernelImage&, const KernelImage&) = default;
};

}  // namespace placewright
