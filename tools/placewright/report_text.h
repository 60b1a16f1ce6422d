// What the parts of the text report write with: lines of at most 100 columns, headings, devices in their colours.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "placement_report.h"

namespace placewright::tools {

class ReportText {
 protected:
  ReportText(const PlacementReport& report, bool colour)
      : report_(report), plan_(report.placed.plan), colour_(colour) {}

  void line(std::string_view text, int indent = 0, int hanging = -1);
  void heading(std::string_view text) { text_ += "\n" + shown_bold(text) + "\n"; }
  void list(std::string_view title, const std::vector<std::string>& rows);

  std::string shown(std::string_view text, int code) const;
  std::string shown_bold(std::string_view text) const { return shown(text, 1); }
  std::string shown_op(int32_t number) const;
  // Each device in a colour of its own, the host in none.
  std::string device(const DeviceId& id) const;
  std::string device_column(const DeviceId& id) const;  // as wide as it looks: colours take no room

  const PlacementReport& report_;
  const PlacementPlan& plan_;
  bool colour_;
  std::string text_;
};

// The part `Ops`. Ops that one line of a module made, and that are where they are for one reason, are one entry.
std::string placement_ops_text(const PlacementReport& report, bool every_op, bool colour);

}  // namespace placewright::tools
