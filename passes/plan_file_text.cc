// The text of plan files, both ways. What is read is checked: a plan may come from anywhere.
#include <algorithm>
#include <limits>
#include <set>

#include <fmt/core.h>

#include "placewright/base/hash.h"
#include "placewright/base/join.h"
#include "placewright/base/lexer.h"
#include "placewright/ir/parse_type.h"
#include "placewright/passes/plan_file.h"

namespace placewright {
namespace {

constexpr std::string_view first_line = "placewright plan 1";

std::string text(const std::vector<DeviceId>& devices) {
  std::vector<std::string> names;
  for (const DeviceId& device : devices) names.push_back(device.to_string());
  return fmt::format("{}", join(names, ","));
}

std::string text(std::string_view word, const SourceSite& site) {
  return site.file.empty() ? "" : fmt::format(" {} {}:{}", word, quote(site.file), site.line);
}

std::string text(const PlanHeader& header) {
  std::string out = fmt::format("model {} hash {}\nmachine hash {}\n", quote(header.model), quote(header.model_hash),
                                quote(header.machine_hash));
  for (const PlanHeader::Device& device : header.devices)
    out += fmt::format("device {} {} hash {}\n", device.id.to_string(), quote(device.name), quote(device.hash));
  for (const Link& link : header.links)
    out += fmt::format("link {} -> {} latency {} bandwidth {}\n", link.from.to_string(), link.to.to_string(),
                       link.latency_seconds, link.bytes_per_second);
  out += fmt::format("profile hash {}\ncompiler {} hash {}\n", quote(header.profile_hash), quote(header.compiler),
                     quote(header.compiler_hash));
  for (const auto& [symbol, size] : header.symbols) out += fmt::format("symbol {} {}\n", quote(symbol), size);
  return out;
}

std::string text(const PlanFile::Row& row) {
  return fmt::format("op {} {} on {} {}{}{} time {} ns{}\n", quote(row.key), quote(row.type), text(row.devices),
                     row.cause, row.reason.empty() ? "" : " because " + quote(row.reason), text("from", row.pinned),
                     row.nanoseconds, text("at", row.site));
}

std::string text(const PlanFile::Transfer& transfer) {
  return fmt::format("transfer {} {} -> {} {} bytes {} because {}{}\n", quote(transfer.key), transfer.from.to_string(),
                     transfer.to.to_string(), transfer.bytes, transfer.at_load ? "once" : "step", quote(transfer.why),
                     text("at", transfer.site));
}

std::string text(const PlanFile::Relief& relief) {
  return fmt::format("relief {} {} on {} {} bytes {} ns{}\n", relief.how, quote(relief.what), relief.device.to_string(),
                     relief.bytes, relief.nanoseconds, text("at", relief.site));
}

std::string text(const PlanFile::Proof& proof) {
  std::string out = fmt::format("\nproof devices {} around {} bound {} energy {}{} {}\n", text(proof.devices),
                                proof.certificate.around, proof.certificate.bound, proof.energy,
                                proof.relief > 0 ? fmt::format(" relief {}", proof.relief) : "",
                                proof.is_optimal() ? "optimal" : "bounded");
  for (size_t g = 0; g < proof.problem.costs.size(); ++g) {
    out += fmt::format("group {} costs {}", proof.labels[g], join(proof.problem.costs[g], " "));
    out += g < proof.rows.size() ? fmt::format(" ops {}\n", join(proof.rows[g], " ")) : " host\n";
  }
  for (size_t v = 0; v < proof.problem.values.size(); ++v) {
    const PlacementProblem::Value& value = proof.problem.values[v];
    out += fmt::format("value {} moves {} to", value.producer, join(value.moves, " "));
    for (size_t i = 0; i < value.consumers.size(); ++i)
      out += fmt::format(" {}:{}", value.consumers[i], proof.certificate.flows[v][i]);
    out += "\n";
  }
  return out;
}

class PlanReader {
 public:
  PlanReader(std::string_view text, std::string_view name) : text_(text), lexer_(text, std::string(name)) {
    plan_.name = name;
  }

  PlanFile read() {
    if (text_.substr(0, first_line.size()) != first_line) lexer_.fail(fmt::format("'{}' and a plan", first_line));
    for (int i = 0; i < 3; ++i) i < 2 ? void(lexer_.identifier()) : void(lexer_.integer());
    read_header();
    read_totals();
    while (lexer_.next_is("op")) read_row();
    while (lexer_.accept("transfer")) read_transfer();
    while (lexer_.accept("relief")) read_relief();
    if (lexer_.accept("proof")) read_proof();
    if (!lexer_.accept("end")) lexer_.fail("op, transfer, relief, proof or end: a plan ends with 'end'");
    if (!lexer_.at_end()) lexer_.fail("nothing behind 'end'");
    plan_.index();
    for (size_t i = 1; i < plan_.by_key.size(); ++i) {
      const PlanFile::Row &a = plan_.rows[plan_.by_key[i - 1]], &b = plan_.rows[plan_.by_key[i]];
      if (a.key == b.key)
        throw Error(fmt::format("{}:{}: {} stands in line {} too", plan_.name, std::max(a.line, b.line), a.key,
                                std::min(a.line, b.line)));
    }
    return std::move(plan_);
  }

 private:
  int64_t count(std::string_view what, int64_t most = std::numeric_limits<int64_t>::max()) {
    size_t at = lexer_.position();
    int64_t number = lexer_.integer(what);
    if (number < 0 || number > most)
      lexer_.fail_at(at, fmt::format("found {}, expected {} of 0 to {}", number, what, most));
    return number;
  }

  std::string hash() {
    lexer_.expect("hash");
    return lexer_.string("a hash");
  }

  SourceSite site() {
    SourceSite site{lexer_.string("a file"), 0};
    lexer_.expect(":");
    site.line = static_cast<int>(count("a line", std::numeric_limits<int>::max()));
    return site;
  }

  DeviceId known_device() {
    size_t at = lexer_.position();
    DeviceId device = parse_device(lexer_);
    for (const PlanHeader::Device& known : plan_.header.devices)
      if (known.id == device) return device;
    // A device that only its line names: the plan's machine may lack it, and then whoever follows the plan says so.
    if (device.ordinal < 0 || device.kind.size() > 64) lexer_.fail_at(at, "no device's name");
    return device;
  }

  std::vector<DeviceId> device_list() {
    std::vector<DeviceId> devices;
    do devices.push_back(known_device());
    while (lexer_.accept(","));
    return devices;
  }

  double positive(std::string_view label) {
    lexer_.expect(label);
    size_t at = lexer_.position();
    double value = lexer_.number(label);
    if (!(value >= 0) || value > 1e300)
      lexer_.fail_at(at, fmt::format("{} is {}, expected a number >= 0", label, value));
    return value;
  }

  void read_header() {
    PlanHeader& header = plan_.header;
    lexer_.expect("model");
    header.model = lexer_.string("the model's name");
    header.model_hash = hash();
    lexer_.expect("machine");
    header.machine_hash = hash();
    while (lexer_.accept("device")) {
      size_t at = lexer_.position();
      PlanHeader::Device device{parse_device(lexer_), "", ""};
      for (const PlanHeader::Device& known : header.devices)
        if (known.id == device.id) lexer_.fail_at(at, device.id.to_string() + " stands here twice");
      device.name = lexer_.string("the device's name");
      device.hash = hash();
      header.devices.push_back(std::move(device));
    }
    while (lexer_.accept("link")) {
      Link link;
      link.from = known_device();
      lexer_.expect("->");
      link.to = known_device();
      link.latency_seconds = positive("latency");
      link.bytes_per_second = positive("bandwidth");
      header.links.push_back(link);
    }
    lexer_.expect("profile");
    header.profile_hash = hash();
    lexer_.expect("compiler");
    header.compiler = lexer_.string("the compiler's version");
    header.compiler_hash = hash();
    while (lexer_.accept("symbol")) {
      std::string symbol = lexer_.string("a symbol");
      header.symbols[symbol] = count("a size");
    }
  }

  void read_totals() {
    lexer_.expect("objective");
    plan_.objective = lexer_.string("the objective");
    lexer_.expect("step");
    plan_.nanoseconds = count("nanoseconds");
    lexer_.expect("ns");
    lexer_.expect("bytes");
    lexer_.expect("step");
    plan_.bytes_per_step = count("bytes");
    lexer_.expect("load");
    plan_.bytes_at_load = count("bytes");
    while (lexer_.accept("peak")) {
      PlanFile::Peak peak{known_device(), 0};
      peak.bytes = count("bytes");
      plan_.peaks.push_back(peak);
    }
  }

  void read_row() {
    PlanFile::Row row;
    row.line = line_here();
    lexer_.expect("op");
    row.key = lexer_.string("an op's name");
    row.type = lexer_.string("a type");
    lexer_.expect("on");
    row.devices = device_list();
    row.cause = lexer_.identifier("a cause, or pin");
    if (lexer_.accept("because")) row.reason = lexer_.string("a reason");
    if (lexer_.accept("from")) row.pinned = site();
    lexer_.expect("time");
    row.nanoseconds = count("nanoseconds");
    lexer_.expect("ns");
    if (lexer_.accept("at")) row.site = site();
    plan_.rows.push_back(std::move(row));
  }

  void read_transfer() {
    PlanFile::Transfer transfer;
    transfer.key = lexer_.string("a value's name");
    transfer.from = known_device();
    lexer_.expect("->");
    transfer.to = known_device();
    transfer.bytes = count("bytes");
    lexer_.expect("bytes");
    transfer.at_load = lexer_.accept("once");
    if (!transfer.at_load) lexer_.expect("step");
    lexer_.expect("because");
    transfer.why = lexer_.string("a reason");
    if (lexer_.accept("at")) transfer.site = site();
    plan_.transfers.push_back(std::move(transfer));
  }

  void read_relief() {
    PlanFile::Relief relief;
    relief.how = lexer_.identifier("how memory is freed");
    relief.what = lexer_.string("a value's name");
    lexer_.expect("on");
    relief.device = known_device();
    relief.bytes = count("bytes");
    lexer_.expect("bytes");
    relief.nanoseconds = count("nanoseconds");
    lexer_.expect("ns");
    if (lexer_.accept("at")) relief.site = site();
    plan_.relief.push_back(std::move(relief));
  }

  void read_proof() {
    PlanFile::Proof proof;
    lexer_.expect("devices");
    size_t at = lexer_.position();
    proof.devices = device_list();
    auto labels = static_cast<int64_t>(proof.devices.size());
    if (labels < 2 || labels > 64) lexer_.fail_at(at, "a proof is about 2 to 64 devices");
    proof.problem.labels = static_cast<int>(labels);
    lexer_.expect("around");
    proof.certificate.around = static_cast<int>(count("a device's number", labels - 1));
    lexer_.expect("bound");
    proof.certificate.bound = count("nanoseconds");
    lexer_.expect("energy");
    proof.energy = count("nanoseconds");
    if (lexer_.accept("relief")) proof.relief = count("nanoseconds", PlacementProblem::unrunnable);
    lexer_.expect(proof.is_optimal() ? "optimal" : "bounded");
    read_groups(proof);
    while (lexer_.accept("value")) read_value(proof);
    lexer_.expect("sum");
    lexer_.string("a check sum");
    plan_.proof = std::move(proof);
  }

  bool next_is_number() {
    size_t at = lexer_.position();
    return at < text_.size() && text_[at] >= '0' && text_[at] <= '9';
  }

  void read_groups(PlanFile::Proof& proof) {
    bool has_host = false;
    auto rows = static_cast<int64_t>(plan_.rows.size());
    while (!has_host) {
      lexer_.expect("group");
      proof.labels.push_back(static_cast<int>(count("a device's number", proof.problem.labels - 1)));
      lexer_.expect("costs");
      std::vector<int64_t>& costs = proof.problem.costs.emplace_back();
      for (int label = 0; label < proof.problem.labels; ++label)
        costs.push_back(count("a cost", PlacementProblem::unrunnable));
      has_host = lexer_.accept("host");
      if (has_host) break;
      lexer_.expect("ops");
      std::vector<int>& members = proof.rows.emplace_back();
      while (next_is_number()) members.push_back(static_cast<int>(count("an op's number", rows - 1)));
    }
  }

  void read_value(PlanFile::Proof& proof) {
    PlacementProblem::Value value;
    int64_t groups = proof.problem.groups();
    value.producer = static_cast<int>(count("a group's number", groups - 1));
    lexer_.expect("moves");
    for (int i = 0; i < proof.problem.labels * proof.problem.labels; ++i)
      value.moves.push_back(count("a cost", PlacementProblem::unrunnable));
    lexer_.expect("to");
    std::vector<int64_t>& flows = proof.certificate.flows.emplace_back();
    while (next_is_number()) {
      value.consumers.push_back(static_cast<int>(count("a group's number", groups - 1)));
      lexer_.expect(":");
      flows.push_back(lexer_.integer("a flow"));
    }
    proof.problem.values.push_back(std::move(value));
  }

  int line_here() {
    size_t at = lexer_.position();
    line_ += static_cast<int>(std::count(text_.begin() + static_cast<std::ptrdiff_t>(counted_),
                                         text_.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
    counted_ = at;
    return line_;
  }

  std::string_view text_;
  Lexer lexer_;
  PlanFile plan_;
  size_t counted_ = 0;  // lines up to here are counted
  int line_ = 1;
};

}  // namespace

std::string print_plan_file(const PlanFile& plan, bool with_proof) {
  std::string out =
      fmt::format("{}\n{}\nobjective {}\nstep {} ns\nbytes step {} load {}\n", first_line, text(plan.header),
                  quote(plan.objective), plan.nanoseconds, plan.bytes_per_step, plan.bytes_at_load);
  for (const PlanFile::Peak& peak : plan.peaks) out += fmt::format("peak {} {}\n", peak.device.to_string(), peak.bytes);
  out += "\n";
  for (const PlanFile::Row& row : plan.rows) out += text(row);
  if (!plan.transfers.empty()) out += "\n";
  for (const PlanFile::Transfer& transfer : plan.transfers) out += text(transfer);
  if (!plan.relief.empty()) out += "\n";
  for (const PlanFile::Relief& relief : plan.relief) out += text(relief);
  if (plan.proof && with_proof) {
    out += text(*plan.proof);
    out += fmt::format("sum \"{:08x}\"\n", crc32(out));
  }
  return out + "\nend\n";
}

PlanFile parse_plan_file(std::string_view text, std::string_view name) { return PlanReader(text, name).read(); }

}  // namespace placewright
