// The buffers of a program: one a storage of the memory plan, views of it for values of other types that live there,
// and copies for results that are something else too.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "placewright/ir/graph.h"
#include "placewright/ir/plan_memory.h"
#include "placewright/ir/program.h"

namespace placewright {

class ProgramBuffers {
 public:
  // Adds arenas, buffers, arguments, results and constants to `compiled`, which must outlive this.
  ProgramBuffers(const Function& function, const MemoryPlan& plan, CompiledProgram& compiled);

  // The buffer that holds a value, of the value's type.
  int of(Value value) const;
  // Whether an op is only another name for its operand's memory: nothing runs.
  bool is_alias(int32_t op) const;
  // A further buffer like `source`, with memory of its own.
  int add_like(int source, std::string name, BufferKind kind);

  // (source, destination): to be copied when the step ends.
  const std::vector<std::pair<int, int>>& copied_results() const { return copied_results_; }
  // By destination: the buffers that are copied from others at load.
  const std::map<int, int>& loaded_from() const { return loaded_from_; }

 private:
  Program& program() const { return compiled_.program; }
  void add_arenas();
  void add_storage(Value value);
  int add_buffer(int32_t storage, Value value, std::string name, BufferKind kind);
  void add_temporary(int32_t storage, Value value);
  void add_constant(int32_t storage, Value value);
  void add_views();
  void add_view(Value value);
  void add_results();
  Value first_result(int32_t storage) const;
  std::string constant_name();
  int find(Value value) const;

  const Function& function_;
  const MemoryPlan& plan_;
  CompiledProgram& compiled_;
  std::map<DeviceId, int> arena_of_;
  std::vector<int> buffer_of_;  // by storage
  std::map<int, std::vector<int>> views_of_;
  std::map<int, int> loaded_from_;
  std::vector<std::pair<int, int>> copied_results_;
  int result_count_ = 0, constant_count_ = 0;
};

}  // namespace placewright
