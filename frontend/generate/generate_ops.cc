// Writes the frontend's functions of elementwise ops and the reference page from the op table:
//   placewright_generate_ops HEADER SOURCE PAGE
// Files that would not change are left alone, so that an edit of an op's maths does not recompile its users.
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/core.h>

#include "placewright/ir/op_table.h"

namespace {

using namespace placewright;

// Where PyTorch's name differs from the op's. Empty: the frontend's function is written by hand.
std::string public_name(std::string_view op) {
  static const std::map<std::string_view, std::string> names{
      {"min", "minimum"},        {"max", "maximum"}, {"equal", "eq"},         {"not_equal", "ne"}, {"less", "lt"},
      {"less_equal", "le"},      {"greater", "gt"},  {"greater_equal", "ge"}, {"rem", "fmod"},     {"is_nan", "isnan"},
      {"is_finite", "isfinite"}, {"select", ""},     {"clamp", ""},           {"cast", ""}};
  auto at = names.find(op);
  return at == names.end() ? std::string(op) : at->second;
}

struct Parameter {
  std::string type, name, fallback, attribute;
};

// Nothing if an attribute has no fallback or is of a kind that a call cannot spell.
std::optional<std::vector<Parameter>> parameters(const OpEntry& entry) {
  std::vector<Parameter> list;
  for (const AttributeSpec& spec : entry.signature.attributes) {
    if (!spec.fallback) return std::nullopt;
    std::string name(spec.name);
    if (const double* number = std::get_if<double>(&*spec.fallback))
      list.push_back({"double", name, fmt::format("{}", *number), name});
    else if (const int64_t* integer = std::get_if<int64_t>(&*spec.fallback))
      list.push_back({"int64_t", name, fmt::format("{}", *integer), name});
    else if (const bool* truth = std::get_if<bool>(&*spec.fallback))
      list.push_back({"bool", name, *truth ? "true" : "false", name});
    else if (const std::string* text = std::get_if<std::string>(&*spec.fallback))
      list.push_back({"const std::string&", name, fmt::format("\"{}\"", *text), name});
    else
      return std::nullopt;
  }
  return list;
}

void write_function(const OpEntry& entry, std::ostream& header, std::ostream& source) {
  std::string name = public_name(entry.name);
  std::optional<std::vector<Parameter>> extra = parameters(entry);
  if (!entry.realised_as<Scalar>() || name.empty() || !extra) return;
  std::string declared, defined, operands, attributes;
  bool fractions = true;
  for (const OperandSpec& spec : entry.signature.operands) {
    declared += fmt::format("{}const Operand& {}", declared.empty() ? "" : ", ", spec.name);
    operands += fmt::format("{}{}", operands.empty() ? "" : ", ", spec.name);
    fractions = fractions && spec.dtypes == DTypeClass::floating;
  }
  defined = declared;
  for (const Parameter& parameter : *extra) {
    declared += fmt::format(", {} {} = {}", parameter.type, parameter.name, parameter.fallback);
    defined += fmt::format(", {} {}", parameter.type, parameter.name);
    attributes +=
        fmt::format("{}{{\"{}\", Attribute({})}}", attributes.empty() ? "" : ", ", parameter.attribute, parameter.name);
  }
  header << fmt::format("// {}\nTensor {}({});\n", entry.summary, name, declared);
  source << fmt::format(
      "Tensor {}({}) {{\n  capture::At at({}.where());\n  return at(\"{}\", at.meet({{{}}}, {}), {{{}}});\n}}\n", name,
      defined, entry.signature.operands[0].name, entry.name, operands, fractions, attributes);
}

std::string_view text(DTypeClass dtypes) {
  switch (dtypes) {
    case DTypeClass::any:
      return "any";
    case DTypeClass::numeric:
      return "numeric";
    case DTypeClass::floating:
      return "floating";
    case DTypeClass::integer:
      return "integer";
    case DTypeClass::boolean:
      return "bool";
    case DTypeClass::index:
      return "i32 or i64";
  }
  return "";
}

std::string_view realisation(const OpEntry& entry) {
  if (entry.realised_as<Scalar>()) return "elementwise";
  if (entry.realised_as<Lower>()) return "kernel";
  if (entry.realised_as<Decompose>()) return "composite";
  return entry.realised_as<Host>() ? "host" : "structural";
}

std::string_view gradient(const OpEntry& entry) {
  switch (entry.gradient.kind()) {
    case Gradient::Kind::rule:
      return "yes";
    case Gradient::Kind::not_differentiable:
      return "no";
    case Gradient::Kind::through_decomposition:
      return "through its parts";
  }
  return "";
}

void write_page(std::ostream& page) {
  page << "# Ops\n\nWritten from the op table by `placewright_generate_ops`; edit the entries in `ir/ops/` instead.\n";
  for (const OpEntry& entry : op_table()) {
    page << fmt::format("\n## {}\n\n{}\n\n", entry.name, entry.summary);
    for (const OperandSpec& spec : entry.signature.operands)
      page << fmt::format("- operand `{}`{}: {}\n", spec.name, spec.variadic ? " (zero or more)" : "",
                          text(spec.dtypes));
    for (const AttributeSpec& spec : entry.signature.attributes)
      page << fmt::format("- attribute `{}`{}: {}\n", spec.name, spec.fallback ? " (may be left out)" : "",
                          spec.meaning);
    page << fmt::format("- {}; gradient: {}\n", realisation(entry), gradient(entry));
  }
}

bool write_if_changed(const char* path, const std::string& content) {
  std::ifstream before(path);
  std::stringstream text;
  text << before.rdbuf();
  if (before && text.str() == content) return true;
  std::ofstream file(path);
  file << content;
  return static_cast<bool>(file.flush());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: placewright_generate_ops HEADER SOURCE PAGE\n";
    return 2;
  }
  std::stringstream header, source, page;
  header << "// Elementwise functions, written from the op table. Operands broadcast and meet in a common dtype.\n"
            "#pragma once\n\n#include <string>\n\n#include \"placewright/tensor.h\"\n\nnamespace placewright {\n\n";
  source << "#include \"placewright/generated_ops.h\"\n\n#include \"capture/node.h\"\n\nnamespace placewright {\n\n";
  for (const OpEntry& entry : op_table()) write_function(entry, header, source);
  header << "\n}  // namespace placewright\n";
  source << "\n}  // namespace placewright\n";
  write_page(page);
  bool written = write_if_changed(argv[1], header.str()) && write_if_changed(argv[2], source.str()) &&
                 write_if_changed(argv[3], page.str());
  if (!written) std::cerr << "placewright_generate_ops: cannot write its files\n";
  return written ? 0 : 1;
}
