// The report as one HTML page that needs nothing else: template, style, scripts and the report's JSON.
#include <utility>
#include <vector>

#include "page_files.h"
#include "placement_report.h"

namespace placewright::tools {
namespace {

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
                                  {"@DATA@", embedded(placement_json(report, true))},
                                  {"@SCRIPT@", std::string(page_script())}});
}

}  // namespace placewright::tools
