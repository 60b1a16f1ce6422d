// How much the emulator and the comparison of results find: kernels of ours, compiled by NVRTC, each with one
// instruction wrong. Originals raise no alarm. Sites are instructions that the kernel's operands reach, so that a
// mutant can differ at all.
#include "mutants.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cuda_cases.h"
#include "library/machine.h"
#include "matrix_cases.h"
#include "placewright/base/join.h"
#include "placewright/codegen/lower.h"
#include "placewright/codegen/strategy.h"
#include "placewright/ir/builder.h"
#include "placewright/ir/evaluate.h"
#include "placewright/passes/pass.h"

namespace cuda_emulator {
namespace {

using namespace placewright;
using namespace placewright::testing;

// Operands of a kernel, and what it must give, or that it must set the status word.
struct Data {
  std::vector<HostTensor> operands, expected;
  bool sets_status = false;
};

struct Subject {
  std::string name;
  CudaText text;
  std::string ptx;
  std::vector<Data> data;
  double tolerance = 0;
};

CudaText one_kernel(StructuredKernel kernel) {
  kernel = split_depth(collapse_dimensions(std::move(kernel)));
  kernel.name = "k";
  const Schedule schedule = choose_grid_schedule(kernel);
  return emit_cuda_text({&kernel, 1}, {&schedule, 1});
}

// --- Operands: what one set of them hides, another shows

using Change = std::function<double(double, int64_t)>;  // of the element at a place

void change_numbers(HostTensor& tensor, const Change& change) {
  for (int64_t i = 0; i < tensor.elements(); ++i) tensor.set_number(i, change(tensor.number(i), i));
}

// Few values, so that what decides between equal ones shows; distinct ones, with the other sign; rising and falling
// ones, whose extremes stand at the ends, all of one sign, so that sums lose what is left out; then, in one operand
// after another, infinities and NaN here and there, which a factor of 0 does not hide, and some of the last dimension's
// rows all at the least. Integers, which may be indices,
// stay in their range: all the least, all the largest, drawn anew.
std::vector<std::vector<HostTensor>> varied(const DerivedCase& each) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const Change changes[] = {
      [](double x, int64_t) { return std::round(x); },
      [](double x, int64_t) { return -x; },
      [](double x, int64_t i) { return static_cast<double>(i % 4096) / 4096 + x / 65536; },
      [](double x, int64_t i) { return 1 - static_cast<double>(i % 4096) / 4096 + std::abs(x) / 65536; },
  };
  std::vector<std::vector<HostTensor>> all;
  for (size_t c = 0; c < std::size(changes); ++c) {
    std::vector<HostTensor> set = make_operands(each);
    for (size_t i = 0; i < set.size(); ++i) {
      const auto [low, high] = each.ranges[i];
      if (is_floating(set[i].dtype()))
        change_numbers(set[i], changes[c]);
      else if (c == 3)
        set[i] = random_tensor(set[i].dtype(), set[i].sizes(), i, low, high);
      else if (c > 0)
        change_numbers(set[i], [&](double, int64_t) { return c == 1 ? std::ceil(low) : std::ceil(high) - 1; });
    }
    all.push_back(std::move(set));
  }
  for (size_t i = 0; i < each.operands.size(); ++i) {
    // The definition leaves out what stands beside an image; kernels multiply it by 0.
    if (!is_floating(each.operands[i].tensor().dtype) || (each.entry->name.starts_with("conv") && i == 1)) continue;
    all.push_back(make_operands(each));
    change_numbers(all.back()[i], [=](double x, int64_t k) {
      return k % 211 == 100 ? infinity : k % 307 == 99 ? nan : x;
    });
  }
  return all;
}

// To a number that the factors of such a product lose nothing of, so that results are as close as those of f32.
double rounded_to(Precision precision, double number) {
  int exponent = 0;
  const double fraction = std::frexp(number, &exponent);
  const int bits = precision == Precision::tf32 ? 11 : 8;
  return std::isfinite(number) ? std::ldexp(std::round(std::ldexp(fraction, bits)), exponent - bits) : number;
}

bool has_indices(const StructuredKernel& kernel) {
  return std::any_of(kernel.stages.begin(), kernel.stages.end(), [](const Stage& stage) {
    return std::any_of(stage.accesses.begin(), stage.accesses.end(),
                       [](const placewright::Access& access) { return !access.indirect.empty(); });
  });
}

// The last index is one too large.
std::vector<HostTensor> beyond_range(const DerivedCase& each) {
  std::vector<HostTensor> operands = make_operands(each);
  const auto dim = static_cast<size_t>(each.attributes.get<int64_t>("dim"));
  for (HostTensor& operand : operands)
    if (!is_floating(operand.dtype()))
      operand.set_number(operand.elements() - 1, static_cast<double>(operands[0].sizes()[dim]));
  return operands;
}

Subject of_case(const DerivedCase& each) {
  const StructuredKernel kernel = lower_op(each.view());
  Subject subject{each.name, one_kernel(kernel), {}, {}, 0};
  std::vector<std::vector<HostTensor>> sets;
  if (each.special_values)
    sets.push_back(make_operands(each));
  else
    sets = varied(each);
  for (std::vector<HostTensor>& set : sets) {
    std::vector<HostTensor> expected = evaluate_case(each, set);
    subject.data.push_back({std::move(set), std::move(expected), false});
  }
  if (has_indices(kernel)) subject.data.push_back({beyond_range(each), evaluate_case(each, make_operands(each)), true});
  for (const HostTensor& result : subject.data[0].expected)
    subject.tolerance = std::max(subject.tolerance, placewright::testing::tolerance(*each.entry, result.dtype()));
  return subject;
}

// A sum of products by matrix units.
Subject of_matrix(const DerivedCase& each, Precision precision) {
  Subject subject = of_case(each);
  subject.name += " " + std::string(placewright::name(precision));
  subject.tolerance *= 10;  // of sums of up to 2,048 products, in another order
  for (Data& data : subject.data) {
    for (HostTensor& operand : data.operands)
      change_numbers(operand, [&](double x, int64_t) { return rounded_to(precision, x); });
    data.expected = evaluate_case(each, data.operands);
  }
  return subject;
}

// A composite op as one launch: rows in shared memory, stages behind one another.
Subject of_rows(const char* op, const Sizes& sizes, const Attributes& attributes) {
  Graph graph;
  FunctionBuilder main(graph, add_function(graph, "main"));
  Value x = main.input("x", InputKind::argument, Type(DType::f32, Shape(sizes.begin(), sizes.end())));
  main.function().results = main.add(op, {x}, attributes);
  graph = decompose(graph, {});
  Subject subject{op, one_kernel(lower_function(graph, 0)), {}, {}, 1e-5};
  for (uint64_t seed : {3, 4}) {
    std::vector<HostTensor> operands;
    operands.push_back(random_tensor(DType::f32, sizes, seed, -2, seed == 3 ? 3 : 0));
    std::vector<HostTensor> expected = evaluate(graph, operands).results;
    subject.data.push_back({std::move(operands), std::move(expected), false});
  }
  return subject;
}

// Numbers of many values in all that it reads and writes.
bool is_telling(const DerivedCase& each) {
  auto has_many = [](const Type& type) { return element_count(type.tensor().sizes()) > 1; };
  return !each.special_values && is_floating(each.results[0].tensor().dtype) && has_many(each.results[0]) &&
         std::all_of(each.operands.begin(), each.operands.end(), has_many);
}

std::vector<Subject> subjects() {
  std::vector<Subject> all;
  for (const DerivedCase& each : large_cuda_cases()) all.push_back(of_case(each));
  for (const char* op :
       {"gather", "scatter_add", "max_pool", "max_pool_gradient", "window_sum", "concat", "pad", "random_bits"}) {
    std::vector<DerivedCase> cases = derived_cases(find_op(op));
    auto chosen = std::find_if(cases.begin(), cases.end(), is_telling);
    if (chosen == cases.end()) --chosen;
    all.push_back(of_case(*chosen));
  }
  for (Precision precision : {Precision::tf32, Precision::bf16}) {
    const std::vector<DerivedCase> cases = matrix_cases(precision);
    for (size_t i : {0, 3, 4, 9, 11, 13, 14, 15}) all.push_back(of_matrix(cases[i], precision));
  }
  for (const Sizes& sizes : {Sizes{9, 70}, Sizes{6, 1100}})
    all.push_back(of_rows("layer_norm", sizes, {{"normalised_dims", int64_t{1}}}));
  for (Subject& subject : all) {
    KernelImage image = compile_cuda_text(subject.text, "compute_80");
    subject.ptx.assign(image.bytes.begin(), image.bytes.end());
  }
  return all;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

struct Ran {
  std::string alarm;  // what was found wrong; empty: nothing
  uint64_t instructions = 0;
};

// What stands in the emulated device's memory for one run of a subject.
class Bench {
 public:
  Bench(const Subject& subject, const Data& data) : subject_(subject), data_(data) {
    for (const HostTensor& operand : data.operands) addresses_.push_back(upload(operand.raw(), operand.bytes()));
    for (const HostTensor& result : data.expected) addresses_.push_back(upload(nullptr, result.bytes()));
    for (int64_t bytes : subject.text.entries[0].workspace_bytes) addresses_.push_back(upload(nullptr, bytes));
    memory_.add_host(&status_, sizeof status_);
    addresses_.push_back(reinterpret_cast<uint64_t>(&status_));
  }

  Ran run(const std::string& ptx, uint64_t most_instructions, std::vector<uint64_t>* outcomes) {
    Ran ran;
    try {
      const Module module = parse_ptx(ptx, &Bench::place, this);
      for (const KernelPhase& phase : subject_.text.entries[0].phases) {
        LaunchFacts facts;
        facts.module = &module;
        facts.kernel = &module.kernels.at(phase.symbol);
        for (size_t i = 0; i < 3; ++i) {
          facts.groups[i] = static_cast<uint32_t>(phase.groups[i]);
          facts.threads[i] = static_cast<uint32_t>(phase.group_threads[i]);
        }
        facts.dynamic_shared = static_cast<uint32_t>(phase.shared_bytes);
        facts.parameters.resize(addresses_.size() * 8);
        std::memcpy(facts.parameters.data(), addresses_.data(), facts.parameters.size());
        facts.most_instructions = most_instructions;
        facts.outcomes = outcomes;
        ran.instructions += run_kernel(memory_, facts);
      }
      ran.alarm = difference();
    } catch (const Fault& fault) {
      ran.alarm = fault.what();
    }
    return ran;
  }

 private:
  static uint64_t place(const GlobalVariable& variable, void* self) {
    return static_cast<Bench*>(self)->upload(variable.bytes.data(), static_cast<int64_t>(variable.bytes.size()));
  }

  uint64_t upload(const void* data, int64_t bytes) {
    const auto count = static_cast<uint64_t>(bytes);
    const uint64_t address = memory_.allocate(std::max<uint64_t>(count, 1));
    if (data && count > 0) std::memcpy(memory_.find(address, count, nullptr), data, count);
    return address;
  }

  HostTensor download(size_t number, const HostTensor& like) const {
    HostTensor found(like.dtype(), like.sizes());
    const auto bytes = static_cast<size_t>(found.bytes());
    if (bytes > 0) std::memcpy(found.raw(), memory_.find(addresses_[number], bytes, nullptr), bytes);
    return found;
  }

  std::string difference() const {
    if (data_.sets_status) return status_ != 0 ? "" : "the status word is not set";
    if (status_ != 0) return "the status word is set";
    for (size_t i = 0; i < data_.operands.size(); ++i)
      if (!download(i, data_.operands[i]).same_bytes(data_.operands[i])) return "an operand was written";
    for (size_t i = 0; i < data_.expected.size(); ++i) {
      const HostTensor& expected = data_.expected[i];
      const std::string wrong = mismatch(download(data_.operands.size() + i, expected), expected,
                                         is_floating(expected.dtype()) ? subject_.tolerance : 0);
      if (!wrong.empty()) return "results differ: " + wrong;
    }
    return "";
  }

  const Subject& subject_;
  const Data& data_;
  Memory memory_;
  std::vector<uint64_t> addresses_;
  uint64_t status_ = 0;
};

struct Original {
  Subject subject;
  std::vector<std::string> lines;
  std::vector<uint64_t> outcomes;      // by line, of all sets of operands
  std::vector<uint64_t> instructions;  // by set
};

// With one set of operands after another, until one raises an alarm.
std::string alarm_of(const Original& original, const std::string& ptx, std::vector<uint64_t>& outcomes) {
  for (size_t i = 0; i < original.subject.data.size(); ++i) {
    const uint64_t most = 4 * original.instructions[i] + 10000;
    const Ran ran = Bench(original.subject, original.subject.data[i]).run(ptx, most, &outcomes);
    if (!ran.alarm.empty()) return ran.alarm;
  }
  return "";
}

struct Site {
  const Original* original;
  Mutant mutant;
};

// Mutations in turn, each spread over all kernels, so that any beginning of the list is a fair choice.
std::vector<Site> mixed(const std::vector<Original>& originals) {
  std::map<Mutation, std::vector<Site>> by_mutation;
  for (const Original& original : originals)
    for (Mutant& mutant : find_mutants(original.lines, original.outcomes))
      by_mutation[mutant.mutation].push_back({&original, std::move(mutant)});
  std::mt19937 random(1);
  size_t most = 0;
  for (auto& [mutation, sites] : by_mutation) {
    for (size_t i = sites.size(); i > 1; --i) std::swap(sites[i - 1], sites[random() % i]);
    most = std::max(most, sites.size());
  }
  std::vector<Site> all;
  for (size_t i = 0; i < most; ++i)
    for (const auto& [mutation, sites] : by_mutation)
      if (i < sites.size()) all.push_back(sites[i]);
  return all;
}

std::vector<Original> originals() {
  std::vector<Original> all;
  for (Subject& subject : subjects()) {
    Original original{std::move(subject), {}, {}, {}};
    original.lines = split(original.subject.ptx);
    original.outcomes.resize(original.lines.size() + 2);
    for (const Data& data : original.subject.data) {
      const Ran ran = Bench(original.subject, data).run(original.subject.ptx, 0, &original.outcomes);
      EXPECT_EQ(ran.alarm, "") << "a false alarm: " << original.subject.name;
      original.instructions.push_back(ran.instructions);
    }
    all.push_back(std::move(original));
  }
  return all;
}

// Whether no instruction had another outcome: a bound between two values that no thread has, an initial value that is
// always overwritten, a lane that holds what the other one held, factors that are all 0. What orders threads, and what
// is stored where, outcomes do not show.
bool is_without_effect(const Mutant& mutant, std::vector<uint64_t> found, std::vector<uint64_t> expected) {
  if (mutant.mutation != Mutation::bound_off_by_one && mutant.mutation != Mutation::wrong_predicate &&
      mutant.mutation != Mutation::initialisation_missing && mutant.mutation != Mutation::shuffle_changed &&
      mutant.mutation != Mutation::fragment_exchanged)
    return false;
  const auto line = static_cast<size_t>(mutant.line);
  found[line] = expected[line] = 0;
  return found == expected;
}

// What has no effect is not counted, and another takes its place.
TEST(Mutants, AreCaughtAndOriginalsAreNot) {
  if (std::string absence = nvrtc_absence(); !absence.empty()) GTEST_SKIP() << absence;
  const std::vector<Original> all = originals();
  const size_t wanted = full_counts() ? 200 : 40;
  std::map<std::string, std::pair<int, int>> counts;  // caught, made
  std::string survivors;
  size_t made = 0, caught = 0, without_effect = 0;
  const std::vector<Site> sites = mixed(all);
  for (const Site& site : sites) {
    if (made == wanted) break;
    const Original& original = *site.original;
    std::vector<uint64_t> outcomes(original.outcomes.size());
    const std::string alarm = alarm_of(original, mutated(original.lines, site.mutant), outcomes);
    const auto line = static_cast<size_t>(site.mutant.line);
    if (alarm.empty() && is_without_effect(site.mutant, outcomes, original.outcomes)) {
      ++without_effect;
      continue;
    }
    auto& [found, tried] = counts[name(site.mutant.mutation)];
    ++made, ++tried;
    if (!alarm.empty()) {
      ++found, ++caught;
      continue;
    }
    survivors += original.subject.name + ", PTX line " + std::to_string(line) + ", " + name(site.mutant.mutation) +
                 ": " + site.mutant.before + " -> " + site.mutant.after + "\n";
  }
  ASSERT_EQ(made, wanted);
  for (const auto& [mutation, count] : counts)
    std::printf("%s: %d of %d\n", mutation.c_str(), count.first, count.second);
  std::printf("%zu of %zu caught, %zu more without effect, of %zu sites. Survivors:\n%s", caught, made, without_effect,
              sites.size(), survivors.c_str());
  EXPECT_GE(static_cast<double>(caught), 0.95 * static_cast<double>(made)) << survivors;
}

}  // namespace
}  // namespace cuda_emulator
