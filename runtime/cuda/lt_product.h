// A contraction as NVIDIA's library takes it: column-major matrices, the transposed product of ours.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "placewright/ir/kernel_image.h"
#include "placewright/runtime/cuda/cublaslt.h"

namespace placewright {

// What was found faster for a product on a device.
struct LtChoice {
  bool by_library = false;  // else the kernel
  cuda::LtAlgorithm algorithm;
  int64_t workspace_bytes = 0;
  std::string to_text() const;
  static std::optional<LtChoice> try_parse(const std::string& text);
};

// Descriptors of one contraction. With the device's context current; not for two threads at once.
class LtProduct {
 public:
  // Null if the library has no words for it.
  static std::unique_ptr<LtProduct> try_make(std::shared_ptr<const cuda::CublasLt> library,
                                             cuda::LtHandleObject* handle, const Contraction& contraction);
  ~LtProduct();
  LtProduct(const LtProduct&) = delete;

  struct Operands {
    const void *left = nullptr, *right = nullptr, *bias = nullptr;
    void* result = nullptr;
    int64_t alignment = 0;  // that all have; that of the bias counts where there is one
  };
  // Of a launch; `result` is null where that is memory of its own, which is found later.
  Operands operands(std::span<void* const> buffers) const;
  // Whether the library may have them: the result apart from what is read, the bias at a multiple of 16 bytes.
  bool suits(const Operands& operands) const;

  // The likely fastest first; none if the library has none.
  std::vector<cuda::LtCandidate> find(const Operands& operands, int64_t most_workspace) const;
  bool can_run(const LtChoice& choice, const Operands& operands) const;
  cuda::LtStatus run(const cuda::LtAlgorithm& algorithm, const Operands& operands, void* workspace, int64_t bytes,
                     cuda::StreamObject* stream) const;
  // The same with NaN for all sums, so that it shows what the epilogue makes of one.
  cuda::LtStatus run_on_nan(const cuda::LtAlgorithm& algorithm, const Operands& operands, void* workspace,
                            int64_t bytes, cuda::StreamObject* stream) const;

  const cuda::CublasLt& library() const { return *library_; }
  const Contraction& contraction() const { return contraction_; }
  int64_t result_bytes() const;  // from its first element to behind its last
  // All that a choice depends on beside library, device and kernel.
  std::string key(int64_t alignment) const;

 private:
  LtProduct(std::shared_ptr<const cuda::CublasLt> library, cuda::LtHandleObject* handle,
            const Contraction& contraction);
  bool describe_operation();
  bool describe_layout(cuda::LtLayoutObject** made, const Contraction::Matrix& matrix, int64_t rows, int64_t columns);
  void point_to_bias(const Operands& operands) const;
  cuda::LtStatus run_scaled(double scale, const cuda::LtAlgorithm& algorithm, const Operands& operands, void* workspace,
                            int64_t bytes, cuda::StreamObject* stream) const;

  std::shared_ptr<const cuda::CublasLt> library_;
  cuda::LtHandleObject* handle_;
  Contraction contraction_;
  cuda::LtOperationObject* operation_ = nullptr;
  cuda::LtLayoutObject *a_ = nullptr, *b_ = nullptr, *d_ = nullptr;  // right, left, result
};

// What is known of an entry of an image on a device.
struct LtEntry {
  std::unique_ptr<LtProduct> product;
  bool was_tried = false;  // to make the product
  int64_t sums_bytes = 0;  // of the product's result, where the entry goes on with it
  int64_t alignment = 0;   // of the operands that the choice is for; 0: nothing was chosen
  LtChoice choice;
  int64_t workspace_bytes() const { return sums_bytes + choice.workspace_bytes; }
};

}  // namespace placewright
