// The rig of tests of the emulator's cuBLASLt.
#pragma once

#include "cublaslt_calls.h"

namespace cuda_emulator {

// A product of ones: each element of D is its depth.
class CublasLt : public OnDevice {
 protected:
  CublasLt() { EXPECT_EQ(cublasLtCreate(&handle_), 0); }
  ~CublasLt() override { cublasLtDestroy(handle_); }

  void prepare(const ProductCase& wanted, uint64_t bias = 0) {
    wanted_ = wanted;
    described_.emplace(wanted, bias);
    a_ = upload(std::vector<float>(wanted.a.elements(), 1));
    b_ = upload(std::vector<float>(wanted.b.elements(), 1));
    d_ = upload(std::vector<float>(wanted.d.elements(), -1));
    workspace_ = allocate(wanted.most_workspace);
    workspace_bytes_ = wanted.most_workspace;
    ASSERT_EQ(described_->find(handle_, &found_), 0) << cublasLtGetStatusString(lt_unsupported);
  }
  int multiply(size_t candidate = 0) {
    const float alpha = 1, beta = 0;
    return cublasLtMatmul(handle_, described_->operation, &alpha, at(a_), described_->layouts[0], at(b_),
                          described_->layouts[1], &beta, at(d_), described_->layouts[2], at(d_), described_->layouts[3],
                          &found_[candidate].algorithm, at(workspace_), workspace_bytes_, stream_);
  }
  // The status and the reason of a call that must be refused; what is changed for it stays.
  std::string refusal(size_t candidate = 0) {
    const int status = multiply(candidate);
    return std::to_string(status) + ": " + cublasLtGetStatusString(status);
  }
  // As heuristics say it of descriptors that are wrong.
  std::string refusal_of(const ProductCase& wanted) {
    const Described described(wanted);
    std::vector<LtFound> found;
    const int status = described.find(handle_, &found);
    return std::to_string(status) + ": " + cublasLtGetStatusString(status);
  }
  std::vector<float> result() { return download<float>(d_, wanted_.d.elements()); }
  static void* at(uint64_t address) { return reinterpret_cast<void*>(address); }
  size_t with_workspace() const {
    size_t place = 0;
    while (found_[place].workspace_bytes == 0) ++place;
    return place;
  }

  void* handle_ = nullptr;
  ProductCase wanted_;
  std::optional<Described> described_;
  std::vector<LtFound> found_;
  uint64_t a_ = 0, b_ = 0, d_ = 0, workspace_ = 0;
  size_t workspace_bytes_ = 0;
};

}  // namespace cuda_emulator
