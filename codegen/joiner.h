// Joins the kernels of a function's ops into one of few stages. Values that elementwise ops make stay definitions,
// which readers compute in place, until one is better stored; what must be stored joins the stage that made its
// operands if it can.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "placewright/codegen/lower.h"
#include "stage_writer.h"

namespace placewright {

class Joiner {
 public:
  // All three must outlive this.
  Joiner(const Graph& graph, const Function& function, const SplitReductions& split)
      : graph_(graph), function_(function), split_(split) {}

  StructuredKernel run();

 private:
  // A value that is not in memory: what one elementwise stage would store, for any reader to compute in place.
  struct Definition {
    Stage stage;            // its accesses speak of the kernel's buffers
    std::vector<int> dims;  // stage dimension of each dimension of the value
    int node = -1;
    double weight = 0;
    int latest = -1;  // the last of the kernel's stages that writes what it reads; -1: inputs only
  };
  // A value in a buffer.
  struct Stored {
    int buffer = -1;
    int stage = -1;  // that wrote it; -1: an input
  };
  // A node this cheap is computed again by each reader rather than stored and loaded.
  static constexpr double cheap = 2;

  const TensorType& type(Value value) const { return function_.tensor(value); }

  // joiner.cc: ops become definitions or stages
  void count_uses();
  void add_interface();
  void add_op(int32_t number);
  void define_constant(int32_t number);
  void add_view(int32_t number);
  bool is_at_home(Value value, Value operand) const;
  void append(int32_t number, const StructuredKernel& own);
  void append_stage(const Op& op, const Stage& stage, const std::vector<int>& buffers);
  void settle_result(size_t r);

  // join_definitions.cc: what is defined, and read in place
  std::optional<Definition> try_define(const Op& op, const StructuredKernel& own);
  std::optional<Definition> drop_ones(Value value, Value operand);
  int read(StageWriter& writer, Value value, Access access, int& latest);
  static bool computes_too_often(StageWriter& writer, const Definition& definition);
  static std::optional<int> inline_definition(StageWriter& writer, const Definition& definition, const Access& at);

  // join_stored.cc: what is stored, and where
  int add_buffer(std::string name, const TensorType& type, KernelBuffer::Role role, int alias_of = -1);
  int buffer_for(Value value);
  int root_of(int buffer) const;
  Stored store(Value value);
  void materialise(Value value);
  bool attach(const Definition& definition, int buffer, int t);
  std::optional<std::vector<Access>> accesses_from(const Stage& stage, const Definition& definition,
                                                   const std::vector<AffineExpr>& dims) const;
  std::optional<std::vector<int>> stored_nodes(const Stage& stage, const std::vector<Store>& stores,
                                               const std::vector<Access>& accesses) const;

  const Graph& graph_;
  const Function& function_;
  const SplitReductions& split_;
  StructuredKernel kernel_;
  std::map<Value, int> uses_;
  std::map<Value, int> home_;  // the output buffer in whose memory a value belongs
  std::vector<int> outputs_;
  std::map<Value, Definition> definitions_;
  std::map<Value, Stored> stored_;
};

}  // namespace placewright
