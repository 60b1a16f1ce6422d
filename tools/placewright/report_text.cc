#include "report_text.h"

#include <algorithm>

#include <fmt/core.h>

#include "command.h"

namespace placewright::tools {

constexpr int width = 100;

void ReportText::line(std::string_view text, int indent, int hanging) {
  text_ += wrapped(std::string(static_cast<size_t>(indent), ' ') + std::string(text), width,
                   hanging < 0 ? indent + 2 : hanging) +
           "\n";
}

void ReportText::list(std::string_view title, const std::vector<std::string>& rows) {
  if (rows.empty()) return;
  heading(title);
  for (const std::string& row : rows) line(row, 2, 4);
}

std::string ReportText::shown(std::string_view text, int code) const {
  return colour_ && !text.empty() ? marked(text, code) : std::string(text);
}

std::string ReportText::shown_op(int32_t number) const {
  const OpPlacement& op = plan_.ops[number];
  return op.site.file.empty() ? op.what : fmt::format("{} ({})", op.what, op.site.to_string());
}

std::string ReportText::device(const DeviceId& id) const {
  constexpr int codes[] = {0, 34, 33, 32, 35, 36, 31};
  size_t number = 0;
  const std::vector<DeviceSpec>& all = report_.placed.machine.devices;
  while (number < all.size() && !(all[number].id == id)) ++number;
  return number == 0 ? id.to_string() : shown(id.to_string(), codes[1 + (number - 1) % 6]);
}

std::string ReportText::device_column(const DeviceId& id) const {
  size_t widest = 5;
  for (const DeviceSpec& spec : report_.placed.machine.devices) widest = std::max(widest, spec.id.to_string().size());
  const size_t seen = id.to_string().size();
  return device(id) + std::string(widest > seen ? widest - seen : 0, ' ');
}

}  // namespace placewright::tools
