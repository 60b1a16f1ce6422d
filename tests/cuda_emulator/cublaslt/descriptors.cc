// Descriptors: setting an attribute takes any value of the right size; what it may be is seen when a product is asked
// for. Attributes that the emulator does not know are refused.
#include <cstring>

#include "session.h"

namespace cublaslt_emulator {
namespace {

struct Place {
  void* address = nullptr;
  size_t bytes = 0;
};
template <class T>
Place place(T& member) {
  return {&member, sizeof member};
}

Place place_of(Operation& operation, int attribute) {
  switch (attribute) {
    case 0:
      return place(operation.compute_type);
    case 1:
      return place(operation.scale_type);
    case 2:
      return place(operation.pointer_mode);
    case 3:
      return place(operation.transpose_a);
    case 4:
      return place(operation.transpose_b);
    case 5:
      return place(operation.transpose_c);
    case 6:
      return place(operation.fill_mode);
    case 7:
      return place(operation.epilogue);
    case 8:
      return place(operation.bias);
    case 10:
      return place(operation.bias_stride);
    case 26:
      return place(operation.bias_type);
    default:
      return {};
  }
}

Place place_of(Layout& layout, int attribute) {
  switch (attribute) {
    case 0:
      return place(layout.type);
    case 1:
      return place(layout.order);
    case 2:
      return place(layout.rows);
    case 3:
      return place(layout.columns);
    case 4:
      return place(layout.leading);
    case 5:
      return place(layout.batches);
    case 6:
      return place(layout.batch_stride);
    default:
      return {};
  }
}

Place place_of(Preference& preference, int attribute) {
  if (attribute >= 5 && attribute <= 8) return place(preference.alignments[attribute - 5]);
  switch (attribute) {
    case 0:
      return place(preference.search_mode);
    case 1:
      return place(preference.most_workspace);
    case 3:
      return place(preference.reductions);
    default:
      return {};
  }
}

template <class Descriptor>
int set(Descriptor* descriptor, int attribute, const void* value, size_t bytes) {
  std::lock_guard lock(session().mutex);
  if (!is_alive(descriptor)) return refuse(invalid_value, "no descriptor, or one that was destroyed");
  const Place found = place_of(*descriptor, attribute);
  if (!found.address) return refuse(invalid_value, "attribute " + std::to_string(attribute) + " is not implemented");
  if (!value || bytes != found.bytes)
    return refuse(invalid_value, "attribute " + std::to_string(attribute) + " has " + std::to_string(found.bytes) +
                                     " bytes, given were " + std::to_string(value ? bytes : 0));
  std::memcpy(found.address, value, bytes);
  return success;
}

}  // namespace
}  // namespace cublaslt_emulator

using namespace cublaslt_emulator;

EXPORT int cublasLtMatmulDescCreate(Operation** made, int compute_type, int scale_type) {
  Operation operation;
  operation.compute_type = compute_type;
  operation.scale_type = scale_type;
  return make(made, operation);
}

EXPORT int cublasLtMatmulDescDestroy(Operation* operation) { return destroy(operation); }

EXPORT int cublasLtMatmulDescSetAttribute(Operation* operation, int attribute, const void* value, size_t bytes) {
  return set(operation, attribute, value, bytes);
}

EXPORT int cublasLtMatrixLayoutCreate(Layout** made, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  Layout layout;
  layout.type = static_cast<uint32_t>(type);
  layout.rows = rows;
  layout.columns = columns;
  layout.leading = leading;
  return make(made, layout);
}

EXPORT int cublasLtMatrixLayoutDestroy(Layout* layout) { return destroy(layout); }

EXPORT int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  return set(layout, attribute, value, bytes);
}

EXPORT int cublasLtMatmulPreferenceCreate(Preference** made) { return make(made, Preference{}); }

EXPORT int cublasLtMatmulPreferenceDestroy(Preference* preference) { return destroy(preference); }

EXPORT int cublasLtMatmulPreferenceSetAttribute(Preference* preference, int attribute, const void* value,
                                                size_t bytes) {
  return set(preference, attribute, value, bytes);
}
