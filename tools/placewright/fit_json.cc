// What `placewright fit` found, as JSON: docs/fit.md says what each field means.
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "fit.h"
#include "json_text.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

Json holder_json(const MemoryHolder& holder) {
  return {{"what", holder.what},
          {"kind", holder.kind},
          {"bytes", holder.bytes},
          {"site", holder.site.file.empty() ? Json() : Json(holder.site.to_string())}};
}

Json plan_json(const FitPlan& plan) {
  Json row{{"step_seconds", plan.step.seconds},
           {"bytes_per_step", plan.bytes_per_step},
           {"memory", Json::array()},
           {"unplanned_memory", plan.unplanned_memory},
           {"bounds", Json::array()}};
  for (const DeviceMemory& device : plan.memory) {
    Json memory{{"device", device.device.to_string()},
                {"capacity_bytes", device.capacity_bytes},
                {"needed_bytes", device.needed_bytes},
                {"peak_bytes", device.peak_bytes},
                {"holders", Json::array()}};
    for (const MemoryHolder& holder : device.holders) memory["holders"].push_back(holder_json(holder));
    row["memory"].push_back(std::move(memory));
  }
  row["relief"] = Json::array();
  for (const ReliefStep& step : plan.relief)
    row["relief"].push_back({{"how", name(step.kind)},
                             {"what", step.what},
                             {"device", step.device.to_string()},
                             {"bytes", step.bytes},
                             {"seconds", step.seconds},
                             {"site", step.site.file.empty() ? Json() : Json(step.site.to_string())}});
  for (const StepShare& share : plan.step.shares)
    row["bounds"].push_back({{"limit", name(share.limit)},
                             {"device", share.device.to_string()},
                             {"to", share.limit == StepLimit::link ? Json(share.to.to_string()) : Json()},
                             {"seconds", share.seconds},
                             {"share", plan.step.seconds > 0 ? share.seconds / plan.step.seconds : 0}});
  return row;
}

Json row_json(const FitRow& found) {
  Json row{{"machine", found.name},
           {"verdict", name(found.verdict)},
           {"fits", found.verdict == FitVerdict::fits || found.verdict == FitVerdict::squeezed},
           {"cause", found.cause}};
  row["plan"] = found.plan.is_made() ? plan_json(found.plan) : Json();
  row["unlimited_step_seconds"] = found.freely.is_made() ? Json(found.freely.step.seconds) : Json();
  row["changes"] = Json::array();
  for (const FitChange& change : found.changes)
    row["changes"].push_back({{"kind", change.kind},
                              {"value", change.value},
                              {"text", change.text},
                              {"seconds", change.seconds},
                              {"loss", change.loss},
                              {"plan", plan_json(change.plan)}});
  row["unasked"] = found.unasked;
  return row;
}

}  // namespace

std::string fit_json(const FitReport& report) {
  Json document{{"format", "placewright fit report"}, {"version", 1}, {"model", report.file}};
  const FitBatch& batch = report.model->batch();
  document["symbols"] = report.model->symbols();
  document["batch"] = batch.asked == 0 ? Json() : Json{{"name", batch.name}, {"size", batch.asked}};
  document["machines"] = Json::array();
  for (const FitRow& row : report.rows) document["machines"].push_back(row_json(row));
  return json_text(document);
}

}  // namespace placewright::tools
