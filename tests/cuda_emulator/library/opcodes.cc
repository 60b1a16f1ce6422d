#include <sstream>

#include "machine.h"

namespace cuda_emulator {
namespace {

OpcodeTable make_table() {
  OpcodeTable table;
  add_integer_opcodes(table);
  add_float_opcodes(table);
  add_convert_opcodes(table);
  add_compare_opcodes(table);
  add_memory_opcodes(table);
  add_warp_opcodes(table);
  add_matrix_opcodes(table);
  return table;
}

const OpcodeTable& table() {
  static const OpcodeTable table = make_table();
  return table;
}

}  // namespace

void add_opcodes(OpcodeTable& table, const std::string& names, OpcodeEntry entry) {
  std::istringstream words(names);
  for (std::string name; words >> name;)
    if (!table.emplace(name, entry).second) throw Fault(218, "opcode " + name + " stands twice in the table");
}

const OpcodeEntry* find_opcode(const std::string& opcode) {
  auto found = table().find(opcode);
  return found == table().end() ? nullptr : &found->second;
}

std::vector<std::string> all_opcodes() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : table()) names.push_back(name);
  return names;
}

}  // namespace cuda_emulator
