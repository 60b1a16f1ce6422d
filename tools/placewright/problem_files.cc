// The problem of a placement as JSON, for other algorithms, and the score of what they answer.
#include <algorithm>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "json_text.h"
#include "placewright/base/file.h"
#include "placewright/base/hash.h"
#include "placewright/passes/placement_makespan.h"
#include "plan_actions.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view problem_format = "placewright problem 1", placement_format = "placewright placement 1";

const SolvedPlacement& solved(const GraphPlacement& placed) {
  if (!placed.plan.solved || placed.plan.solved->problem.labels < 2)
    throw Error("there is one device: nothing to choose, so no problem; use --devices or --machine");
  return *placed.plan.solved;
}

Json numbers_of(const SolvedPlacement& solved) {
  const PlacementProblem& problem = solved.problem;
  Json document{{"devices", Json::array()},
                {"unrunnable", PlacementProblem::unrunnable},
                {"groups", Json::array()},
                {"values", Json::array()}};
  for (const DeviceId& device : solved.devices) document["devices"].push_back(device.to_string());
  for (const std::vector<int64_t>& costs : problem.costs) document["groups"].push_back({{"costs", costs}});
  for (const PlacementProblem::Value& value : problem.values) {
    Json moves = Json::array();
    for (int from = 0; from < problem.labels; ++from) {
      auto row = value.moves.begin() + from * problem.labels;
      moves.push_back(std::vector<int64_t>(row, row + problem.labels));
    }
    document["values"].push_back({{"producer", value.producer}, {"consumers", value.consumers}, {"moves", moves}});
  }
  return document;
}

std::string bound_text(int64_t energy, int64_t bound) {
  if (energy == bound) return "proven optimal";
  return fmt::format("within {:.2f}% of the optimum",
                     bound > 0 ? 100.0 * static_cast<double>(energy - bound) / static_cast<double>(bound) : 100.0);
}

// The placement of the file: a label for each group.
Labels read_placement(const std::string& path, const SolvedPlacement& solved, const GraphPlacement& placed) {
  Json document = Json::parse(read_text_file(path), nullptr, false);
  auto fail = [&](const std::string& what) -> void { throw Error(fmt::format("{}: {}", path, what)); };
  auto text = [&](const char* key) {
    if (!document.is_object() || !document.contains(key) || !document[key].is_string())
      fail(fmt::format("expected a JSON object with \"format\": \"{}\", \"problem\" and \"placement\"",
                       placement_format));
    return document[key].get<std::string>();
  };
  if (text("format") != placement_format) fail(fmt::format("expected the format \"{}\"", placement_format));
  const std::string hash = hash_text(json_text(numbers_of(solved), -1));
  if (text("problem") != hash)
    fail(fmt::format("it is another problem's placement: found problem {:.40}, expected {}", text("problem"), hash));
  const Json& placement = document.contains("placement") ? document["placement"] : Json();
  if (!placement.is_array() || placement.size() != solved.problem.costs.size())
    fail(fmt::format("expected \"placement\": a device for each of the {} groups", solved.problem.costs.size()));
  Labels labels;
  for (const Json& device : placement) {
    const std::string name =
        device.is_string() ? device.get<std::string>() : device.dump(-1, ' ', true, Json::error_handler_t::replace);
    auto at = std::find_if(solved.devices.begin(), solved.devices.end(),
                           [&](const DeviceId& id) { return id.to_string() == name; });
    size_t group = labels.size();
    if (at == solved.devices.end())
      fail(fmt::format("group {} is on {:.60}, which is no device of the problem", group, name));
    auto label = static_cast<int>(at - solved.devices.begin());
    if (solved.problem.costs[group][label] >= PlacementProblem::unrunnable) {
      auto op = std::find(solved.group_of.begin(), solved.group_of.end(), static_cast<int>(group));
      fail(fmt::format("group {} ({}) cannot be on {}", group,
                       op == solved.group_of.end() ? "the host, which reads the results"
                                                   : placed.plan.ops[op - solved.group_of.begin()].key,
                       name));
    }
    labels.push_back(label);
  }
  return labels;
}

}  // namespace

std::string problem_json(const GraphPlacement& placed, const PlanFile& made) {
  const SolvedPlacement& answer = solved(placed);
  Json numbers = numbers_of(answer);
  Json document{{"format", problem_format},
                {"model", made.header.model},
                {"objective", made.objective},
                {"unit", "nanoseconds"},
                {"hash", hash_text(json_text(numbers, -1))}};
  for (auto& [key, value] : numbers.items()) document[key] = std::move(value);
  for (Json& group : document["groups"]) group["ops"] = Json::array();
  for (size_t op = 0; op < answer.group_of.size(); ++op)
    document["groups"][static_cast<size_t>(answer.group_of[op])]["ops"].push_back(placed.plan.ops[op].key);
  document["groups"].back()["host"] = true;
  for (size_t v = 0; v < answer.sources.size(); ++v)
    document["values"][v]["what"] = placed.plan.ops[static_cast<size_t>(answer.sources[v].op)].key;
  Certificate proof = certify(answer.problem);
  document["energy"] = answer.energy;
  document["bound"] = proof.bound;
  document["placement"] = Json::array();
  for (int label : answer.labels)
    document["placement"].push_back(answer.devices[static_cast<size_t>(label)].to_string());
  return json_text(document, 1) + "\n";
}

std::string score_text(const std::string& path, const GraphPlacement& placed, const PlanFile& made, bool as_json) {
  const SolvedPlacement& ours = solved(placed);
  const Labels answer = read_placement(path, ours, placed);
  const int64_t theirs = energy(ours.problem, answer), bound = certify(ours.problem).bound;
  const std::vector<int> order = program_order(ours.group_of, ours.problem.groups());
  const int64_t their_makespan = simulate(ours.problem, answer, order, host_label).makespan,
                our_makespan = simulate(ours.problem, ours.labels, order, host_label).makespan;
  if (as_json)
    return json_text({{"objective", made.objective},
                      {"unit", "nanoseconds"},
                      {"energy", theirs},
                      {"makespan", their_makespan},
                      {"ours", ours.energy},
                      {"our_makespan", our_makespan},
                      {"bound", bound},
                      {"optimal", theirs == bound}}) +
           "\n";
  return fmt::format(
      "objective: {}\n{}: {} ns, {}; {} ns where devices work at once\nplacewright: {} ns, {}; {} ns where devices "
      "work "
      "at once\nno placement: below {} ns\n",
      made.objective, path, theirs, bound_text(theirs, bound), their_makespan, ours.energy,
      bound_text(ours.energy, bound), our_makespan, bound);
}

}  // namespace placewright::tools
