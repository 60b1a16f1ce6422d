// Handles, heuristics, and the product itself.
#include <algorithm>

#include "algorithms.h"
#include "session.h"

namespace cublaslt_emulator {
namespace {

using cuda_emulator::LibraryWork;

// Thrown by a call on its way out.
struct Refused {
  int status;
  std::string why;
};

void require(bool holds, int status, const std::string& why) {
  if (!holds) throw Refused{status, why};
}

template <class Call>
int guarded(Call call) {
  std::lock_guard lock(session().mutex);
  try {
    call();
  } catch (const Refused& refused) {
    return refuse(refused.status, refused.why);
  }
  return success;
}

void check_handle(const Handle* handle) {
  require(handle && is_alive(handle), not_initialised, "no handle, or one that was destroyed");
  require(cuda_emulator::is_alive(handle->context), not_initialised, "the handle's context is gone");
}

Problem check_problem(const Operation* operation, const Layout* a, const Layout* b, const Layout* c, const Layout* d) {
  require(operation && is_alive(operation), invalid_value, "no matmul descriptor, or one that was destroyed");
  for (const Layout* layout : {a, b, c, d})
    require(layout && is_alive(layout), invalid_value, "no layout, or one that was destroyed");
  Problem problem;
  std::string why;
  const Status status = make_problem(*operation, *a, *b, *c, *d, &problem, &why);
  require(status == success, status, why);
  return problem;
}

std::string describe(const Problem& problem) {
  std::string text = problem.is_f64 ? "f64 " : problem.rounding == 13 ? "tf32 " : problem.rounding ? "bf16 " : "f32 ";
  if (problem.batches > 1) text += std::to_string(problem.batches) + " of ";
  return text + std::to_string(problem.rows) + "x" + std::to_string(problem.columns) + "x" +
         std::to_string(problem.depth) + " epilogue " + std::to_string(problem.operation.epilogue);
}

float waves_of(const Problem& problem) {
  return static_cast<float>(problem.batches * ((problem.rows + 127) / 128) * ((problem.columns + 127) / 128)) / 4;
}

void check_aligned(uint64_t address, uint64_t bytes, const char* what) {
  require(address % bytes == 0, invalid_value,
          std::string(what) + " is not aligned to " + std::to_string(bytes) + " bytes");
}

struct Range {
  const char* name;
  uint64_t begin, bytes;
};

void check_apart(const Range& a, const Range& b) {
  const bool touch = a.bytes > 0 && b.bytes > 0 && a.begin < b.begin + b.bytes && b.begin < a.begin + a.bytes;
  require(!touch, invalid_value, std::string(a.name) + " and " + b.name + " overlap");
}

uint64_t bytes_of(const Problem& problem, const Layout& layout) {
  return ((problem.batches - 1) * (problem.batches > 1 ? static_cast<uint64_t>(layout.batch_stride) : 0) +
          span_of(layout)) *
         problem.element_bytes();
}

// What no kernel of the real library would see: it would compute something else.
void check_operands(const Problem& problem, const Choice& choice, const Operands& operands, uint64_t workspace_bytes) {
  const Operation& operation = problem.operation;
  require(operands.a && operands.b && operands.d && (operands.c || operands.beta == 0), invalid_value,
          "a matrix has no address");
  const uint64_t addresses[] = {operands.a, operands.b, operands.c, operands.d};
  for (int i = 0; i < 4; ++i)
    if (i != 2 || operands.beta != 0)
      check_aligned(addresses[i], choice.alignments[i], (std::string("matrix ") + "ABCD"[i]).c_str());
  require(workspace_bytes >= choice.workspace_bytes, invalid_value,
          "the algorithm needs " + std::to_string(choice.workspace_bytes) + " bytes of workspace, given were " +
              std::to_string(workspace_bytes));
  require(choice.workspace_bytes == 0 || operands.workspace != 0, invalid_value, "the workspace has no address");
  check_aligned(operands.workspace, 256, "the workspace");
  const Range d{"D", operands.d, bytes_of(problem, problem.d)};
  Range read[] = {{"A", operands.a, bytes_of(problem, problem.a)},
                  {"B", operands.b, bytes_of(problem, problem.b)},
                  {"C", operands.c, operands.beta == 0 ? 0 : bytes_of(problem, problem.c)},
                  {"the bias", operation.bias, 0}};
  if (operation.epilogue & epilogue_bias) {
    check_aligned(operation.bias, 16, "the bias");
    read[3].bytes =
        ((problem.batches - 1) * static_cast<uint64_t>(operation.bias_stride) + problem.rows) * problem.element_bytes();
  }
  const Range workspace{"the workspace", operands.workspace, choice.workspace_bytes};
  check_apart(workspace, d);
  const bool is_in_place = operands.c == operands.d && problem.c.leading == problem.d.leading;
  for (const Range& range : read) {
    check_apart(range, workspace);
    if (&range != &read[2] || !is_in_place) check_apart(range, d);
  }
}

double scalar(const Problem& problem, const void* value) {
  return problem.is_f64 ? *static_cast<const double*>(value) : *static_cast<const float*>(value);
}

void add_faults(const Options& options, std::vector<LibraryWork>& works) {
  const int64_t slow = options.get("slow", 0), lose = options.get("lose", 0);
  works.front().run = [run = works.front().run, slow, lose](cuda_emulator::Context& context) {
    cuda_emulator::let_pass(static_cast<double>(slow) * 1e-3);
    if (++session().runs == lose) cuda_emulator::lose_device("cublasLtMatmul: lost on purpose");
    run(context);
  };
}

}  // namespace
}  // namespace cublaslt_emulator

using namespace cublaslt_emulator;

EXPORT int cublasLtCreate(Handle** handle) {
  return guarded([&] {
    const Options options;
    options.log("create");
    session().runs = 0;
    require(handle, invalid_value, "nowhere to put the handle");
    int result = 0;
    cuda_emulator::Context* context = cuda_emulator::current_context(&result);
    require(context && result == 0, not_initialised,
            context ? "the driver says " + std::to_string(result) : "no context is current");
    require(cuda_emulator::refuse_if_capturing("cublasLtCreate") == 0, allocation_failed,
            "it allocates under a capture");
    const auto wanted = static_cast<int>(options.get("create", success));
    require(wanted == success, wanted, "cublasLtCreate fails on purpose");
    make(handle, Handle{context});
  });
}

EXPORT int cublasLtDestroy(Handle* handle) {
  return handle ? destroy(handle) : refuse(invalid_value, "no handle to destroy");
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(Handle* handle, const Operation* operation, const Layout* a, const Layout* b,
                                          const Layout* c, const Layout* d, const Preference* preference, int requested,
                                          Found* found, int* count) {
  return guarded([&] {
    const Options options;
    if (count) *count = 0;
    check_handle(handle);
    require(requested > 0 && found && count, invalid_value, "no room for algorithms");
    require(preference && is_alive(preference), invalid_value, "no preference, or one that was destroyed");
    const Problem problem = check_problem(operation, a, b, c, d);
    require(preference->search_mode == 0, not_supported, "this search mode is not implemented");
    for (uint32_t alignment : preference->alignments)
      require(alignment > 0 && (alignment & (alignment - 1)) == 0, invalid_value, "an alignment that is no power of 2");
    std::vector<Choice> given = choices(problem, *preference);
    const int64_t most = std::min<int64_t>(requested, options.get("candidates", INT32_MAX));
    if (static_cast<int64_t>(given.size()) > most) given.resize(static_cast<size_t>(std::max<int64_t>(most, 0)));
    options.log("heuristics: " + describe(problem) + ": " + std::to_string(given.size()));
    require(!given.empty(), not_supported, "no algorithm suits the preference");
    for (size_t i = 0; i < given.size(); ++i)
      found[i] = {
          encode(given[i], problem, options.version()), given[i].workspace_bytes, success, waves_of(problem), {}};
    *count = static_cast<int>(given.size());
  });
}

EXPORT int cublasLtMatmulAlgoCheck(Handle* handle, const Operation* operation, const Layout* a, const Layout* b,
                                   const Layout* c, const Layout* d, const Algorithm* algorithm, Found* found) {
  return guarded([&] {
    const Options options;
    check_handle(handle);
    require(algorithm && found, invalid_value, "no algorithm, or nowhere to put what is found");
    const Problem problem = check_problem(operation, a, b, c, d);
    options.log("check: " + describe(problem));
    const auto wanted = static_cast<int>(options.get("check", success));
    require(wanted == success, wanted, "cublasLtMatmulAlgoCheck fails on purpose");
    Choice choice;
    std::string why;
    require(decode(*algorithm, problem, options.version(), &choice, &why), invalid_value, why);
    found->workspace_bytes = choice.workspace_bytes;
    found->state = success;
    found->waves = waves_of(problem);
  });
}

EXPORT int cublasLtMatmul(Handle* handle, const Operation* operation, const void* alpha, const void* a,
                          const Layout* a_layout, const void* b, const Layout* b_layout, const void* beta,
                          const void* c, const Layout* c_layout, void* d, const Layout* d_layout,
                          const Algorithm* algorithm, void* workspace, size_t workspace_bytes,
                          cuda_emulator::Stream* stream) {
  return guarded([&] {
    const Options options;
    check_handle(handle);
    cuda_emulator::Context& context = *handle->context;
    const Problem problem = check_problem(operation, a_layout, b_layout, c_layout, d_layout);
    require(alpha && beta, invalid_value, "no alpha or no beta");
    require(algorithm, not_supported, "without an algorithm of the caller's: not implemented");
    Choice choice;
    std::string why;
    require(decode(*algorithm, problem, options.version(), &choice, &why), invalid_value, why);
    auto address = [](const void* pointer) { return reinterpret_cast<uint64_t>(pointer); };
    const Operands operands{
        scalar(problem, alpha), scalar(problem, beta), address(a), address(b), address(c), address(d),
        address(workspace),     options.drops_nan()};
    check_operands(problem, choice, operands, workspace_bytes);
    const bool is_captured = cuda_emulator::is_capturing(context, stream);
    options.log((is_captured ? "matmul captured: " : "matmul: ") + describe(problem) + " candidate " +
                std::to_string(choice.place));
    require(!options.fails(choice.place), execution_failed,
            "candidate " + std::to_string(choice.place) + " fails on purpose");
    std::vector<LibraryWork> works = works_of(problem, choice, operands);
    require(!works.empty(), invalid_value, "no such algorithm");
    add_faults(options, works);
    const int result = cuda_emulator::give(context, stream, std::move(works), &why);
    require(result == 0, execution_failed, "the driver says " + std::to_string(result) + ": " + why);
  });
}
