// The report as one HTML page that needs nothing else: template, style, scripts and the report's JSON.
#include <cmath>
#include <unordered_map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "json_text.h"
#include "page_files.h"
#include "placement_document.h"
#include "placement_report.h"

namespace placewright::tools {
namespace {

using Json = nlohmann::ordered_json;

// The report's JSON in an eighth of its bytes, for a page that is quick to load: each string once, ops and spans as
// rows without the names of their fields. model.js unpacks it.
class Packer {
 public:
  Json pack(Json report) {
    Json& ops = report["ops"];
    Json keys = Json::array(), rows = Json::array();
    if (!ops.empty())
      for (const auto& [key, value] : ops.front().items()) keys.push_back(key);
    for (const Json& op : ops) {
      Json row = Json::array();
      for (const auto& [key, value] : op.items()) row.push_back(key == "rejected" ? rejections(value) : small(value));
      rows.push_back(std::move(row));
    }
    ops = {{"keys", std::move(keys)}, {"rows", std::move(rows)}};
    Json spans = Json::array();
    for (const Json& span : report["timeline"]["spans"]) {
      spans.push_back(span["track"]);
      spans.push_back(span["launch"]);
      spans.push_back(span["result"].is_null() ? 0 : 1);
      spans.push_back(span["ops"].empty() ? Json(-1) : span["ops"].front());
      spans.push_back(nanoseconds(span["begin"]));
      spans.push_back(nanoseconds(span["end"]));
    }
    report["timeline"]["spans"] = std::move(spans);
    report["strings"] = std::move(strings_);
    return report;
  }

 private:
  static int64_t nanoseconds(const Json& seconds) { return std::llround(seconds.get<double>() * 1e9); }

  int64_t number(const std::string& text) {
    auto [at, is_new] = numbers_.try_emplace(text, static_cast<int64_t>(strings_.size()));
    if (is_new) strings_.push_back(text);
    return at->second;
  }

  // Strings by their numbers, in lists too; what is a number itself has its field's name to say so.
  Json small(const Json& value) {
    if (value.is_string()) return number(value.get_ref<const std::string&>());
    if (!value.is_array()) return value;
    Json list = Json::array();
    for (const Json& item : value) list.push_back(small(item));
    return list;
  }

  Json rejections(const Json& rejected) {
    Json list = Json::array();
    for (const Json& row : rejected)
      for (const auto& [key, value] : row.items()) list.push_back(small(value));
    return list;
  }

  Json strings_ = Json::array();
  std::unordered_map<std::string, int64_t> numbers_;
};

// JSON inside a script: no `<` can end it, or begin a comment.
std::string embedded(std::string json) {
  std::string text;
  text.reserve(json.size() + json.size() / 16);
  for (char c : json) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

std::string escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '<')
      escaped += "&lt;";
    else if (c == '&')
      escaped += "&amp;";
    else
      escaped += c;
  }
  return escaped;
}

// The template with its @MARKS@ filled in; what comes in is not looked at again.
std::string filled(std::string_view page, const std::vector<std::pair<std::string_view, std::string>>& marks) {
  std::string text;
  while (!page.empty()) {
    size_t next = page.size();
    const std::pair<std::string_view, std::string>* found = nullptr;
    for (const auto& mark : marks)
      if (size_t at = page.find(mark.first); at < next) {
        next = at;
        found = &mark;
      }
    text += page.substr(0, next);
    page.remove_prefix(next);
    if (!found) break;
    text += found->second;
    page.remove_prefix(found->first.size());
  }
  return text;
}

}  // namespace

std::string placement_page(const PlacementReport& report) {
  return filled(page_template(), {{"@TITLE@", escaped("Placement of " + report.model)},
                                  {"@STYLE@", std::string(page_style())},
                                  {"@DATA@", embedded(json_text(Packer().pack(placement_document(report)), -1))},
                                  {"@SCRIPT@", std::string(page_script())}});
}

}  // namespace placewright::tools
