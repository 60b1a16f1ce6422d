// NVIDIA's driver library as a table of functions, opened on first need: nothing of CUDA is linked, and no header of a
// toolkit is needed. Prototypes and names are those of the CUDA driver API's reference, with their version suffixes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "placewright/base/shared_library.h"

namespace placewright::cuda {

using Result = int;  // 0: success
using Address = uint64_t;
struct ContextObject;
struct ModuleObject;
struct FunctionObject;
struct StreamObject;
struct EventObject;
struct GraphObject;
struct GraphNodeObject;
struct GraphExecObject;

// A kernel's node (CUDA_KERNEL_NODE_PARAMS_v2).
struct KernelNode {
  FunctionObject* function = nullptr;
  unsigned groups[3] = {1, 1, 1}, threads[3] = {1, 1, 1}, shared_bytes = 0;
  void** parameters = nullptr;
  void** extra = nullptr;
  void* kernel = nullptr;
  ContextObject* context = nullptr;
};

// A copy's node (CUDA_MEMCPY3D_v2): of bytes in a row, all else stays as it is here. No pitch: that has a limit of 2
// GiB.
struct CopyNode {
  struct End {
    size_t x_bytes = 0, y = 0, z = 0, level = 0;
    int memory = 0;
    void* host = nullptr;
    Address device = 0;
    void *array = nullptr, *reserved = nullptr;
    size_t pitch = 0, height = 0;
  };
  End from, to;
  size_t bytes = 0, height = 1, depth = 1;
};

// name in the table, exported name, parameters
#define PLACEWRIGHT_CUDA_DRIVER(X)                                                                                   \
  X(init, "cuInit", (unsigned flags))                                                                                \
  X(driver_version, "cuDriverGetVersion", (int* version))                                                            \
  X(error_name, "cuGetErrorName", (Result result, const char** text))                                                \
  X(error_string, "cuGetErrorString", (Result result, const char** text))                                            \
  X(device_count, "cuDeviceGetCount", (int* count))                                                                  \
  X(device_get, "cuDeviceGet", (int* device, int ordinal))                                                           \
  X(device_name, "cuDeviceGetName", (char* text, int size, int device))                                              \
  X(device_attribute, "cuDeviceGetAttribute", (int* value, int attribute, int device))                               \
  X(device_memory, "cuDeviceTotalMem_v2", (size_t* bytes, int device))                                               \
  X(context_retain, "cuDevicePrimaryCtxRetain", (ContextObject * *context, int device))                              \
  X(context_release, "cuDevicePrimaryCtxRelease_v2", (int device))                                                   \
  X(context_set, "cuCtxSetCurrent", (ContextObject * context))                                                       \
  X(memory_info, "cuMemGetInfo_v2", (size_t* free, size_t* total))                                                   \
  X(allocate, "cuMemAlloc_v2", (Address * address, size_t bytes))                                                    \
  X(free, "cuMemFree_v2", (Address address))                                                                         \
  X(host_allocate, "cuMemHostAlloc", (void** address, size_t bytes, unsigned flags))                                 \
  X(host_free, "cuMemFreeHost", (void* address))                                                                     \
  X(host_address, "cuMemHostGetDevicePointer_v2", (Address * address, void* host, unsigned flags))                   \
  X(copy_in, "cuMemcpyHtoDAsync_v2", (Address to, const void* from, size_t bytes, StreamObject* stream))             \
  X(copy_out, "cuMemcpyDtoHAsync_v2", (void* to, Address from, size_t bytes, StreamObject* stream))                  \
  X(copy_within, "cuMemcpyDtoDAsync_v2", (Address to, Address from, size_t bytes, StreamObject* stream))             \
  X(copy_peer, "cuMemcpyPeerAsync",                                                                                  \
    (Address to, ContextObject * to_context, Address from, ContextObject * from_context, size_t bytes,               \
     StreamObject* stream))                                                                                          \
  X(can_access_peer, "cuDeviceCanAccessPeer", (int* can, int device, int peer))                                      \
  X(enable_peer, "cuCtxEnablePeerAccess", (ContextObject * peer, unsigned flags))                                    \
  X(stream_create, "cuStreamCreate", (StreamObject * *stream, unsigned flags))                                       \
  X(stream_destroy, "cuStreamDestroy_v2", (StreamObject * stream))                                                   \
  X(stream_synchronize, "cuStreamSynchronize", (StreamObject * stream))                                              \
  X(stream_wait, "cuStreamWaitEvent", (StreamObject * stream, EventObject * event, unsigned flags))                  \
  X(event_create, "cuEventCreate", (EventObject * *event, unsigned flags))                                           \
  X(event_destroy, "cuEventDestroy_v2", (EventObject * event))                                                       \
  X(event_record, "cuEventRecord", (EventObject * event, StreamObject * stream))                                     \
  X(event_query, "cuEventQuery", (EventObject * event))                                                              \
  X(event_synchronize, "cuEventSynchronize", (EventObject * event))                                                  \
  X(event_milliseconds, "cuEventElapsedTime", (float* milliseconds, EventObject* begin, EventObject* end))           \
  X(module_load, "cuModuleLoadDataEx",                                                                               \
    (ModuleObject * *module, const void* image, unsigned count, int* options, void** values))                        \
  X(module_unload, "cuModuleUnload", (ModuleObject * module))                                                        \
  X(module_function, "cuModuleGetFunction", (FunctionObject * *function, ModuleObject * module, const char* symbol)) \
  X(function_set, "cuFuncSetAttribute", (FunctionObject * function, int attribute, int value))                       \
  X(launch, "cuLaunchKernel",                                                                                        \
    (FunctionObject * function, unsigned groups_x, unsigned groups_y, unsigned groups_z, unsigned threads_x,         \
     unsigned threads_y, unsigned threads_z, unsigned shared_bytes, StreamObject* stream, void** parameters,         \
     void** extra))

// Graphs: of drivers for CUDA 12 and later.
#define PLACEWRIGHT_CUDA_GRAPHS(X)                                                                        \
  X(graph_create, "cuGraphCreate", (GraphObject * *graph, unsigned flags))                                \
  X(graph_destroy, "cuGraphDestroy", (GraphObject * graph))                                               \
  X(graph_add_kernel, "cuGraphAddKernelNode_v2",                                                          \
    (GraphNodeObject * *node, GraphObject * graph, GraphNodeObject* const* after, size_t count,           \
     const KernelNode* parameters))                                                                       \
  X(graph_add_copy, "cuGraphAddMemcpyNode",                                                               \
    (GraphNodeObject * *node, GraphObject * graph, GraphNodeObject* const* after, size_t count,           \
     const CopyNode* parameters, ContextObject* context))                                                 \
  X(graph_instantiate, "cuGraphInstantiateWithFlags",                                                     \
    (GraphExecObject * *made, GraphObject * graph, unsigned long long flags))                             \
  X(graph_set_kernel, "cuGraphExecKernelNodeSetParams_v2",                                                \
    (GraphExecObject * made, GraphNodeObject * node, const KernelNode* parameters))                       \
  X(graph_set_copy, "cuGraphExecMemcpyNodeSetParams",                                                     \
    (GraphExecObject * made, GraphNodeObject * node, const CopyNode* parameters, ContextObject* context)) \
  X(graph_upload, "cuGraphUpload", (GraphExecObject * made, StreamObject * stream))                       \
  X(graph_launch, "cuGraphLaunch", (GraphExecObject * made, StreamObject * stream))                       \
  X(graph_exec_destroy, "cuGraphExecDestroy", (GraphExecObject * made))

// What a stream is given, as a graph, and such graphs as nodes of another.
#define PLACEWRIGHT_CUDA_CAPTURE(X)                                                                                  \
  X(capture_begin, "cuStreamBeginCapture_v2", (StreamObject * stream, int mode))                                     \
  X(capture_end, "cuStreamEndCapture", (StreamObject * stream, GraphObject * *graph))                                \
  X(graph_add_child, "cuGraphAddChildGraphNode",                                                                     \
    (GraphNodeObject * *node, GraphObject * graph, GraphNodeObject* const* after, size_t count, GraphObject* child)) \
  X(graph_set_child, "cuGraphExecChildGraphNodeSetParams",                                                           \
    (GraphExecObject * made, GraphNodeObject * node, GraphObject * child))

// Constants of the driver API.
constexpr Result out_of_memory = 2, not_ready = 600, peer_enabled_already = 704;
constexpr int attribute_multiprocessors = 16, attribute_clock_khz = 13, attribute_memory_clock_khz = 36;
constexpr int attribute_bus_bits = 37, attribute_major = 75, attribute_minor = 76;
constexpr int function_dynamic_shared_bytes = 8;
constexpr int jit_error_log = 5, jit_error_log_bytes = 6;
constexpr unsigned stream_non_blocking = 1;
constexpr unsigned host_portable = 1, host_mapped = 2;
constexpr int memory_host = 1, memory_device = 2;
constexpr int capture_relaxed = 2;

class Driver {
 public:
  // Where it is looked for: PLACEWRIGHT_LIBCUDA (the file or its folder), the system's loader, the usual folders.
  static SharedLibrary::Search search();
  // Null if it cannot be opened or lacks a function; `reasons` gets a line for each thing tried.
  static std::shared_ptr<const Driver> try_open(std::vector<std::string>* reasons);

#define PLACEWRIGHT_MEMBER(name, symbol, parameters) Result(*name) parameters = nullptr;
  PLACEWRIGHT_CUDA_DRIVER(PLACEWRIGHT_MEMBER)
  PLACEWRIGHT_CUDA_GRAPHS(PLACEWRIGHT_MEMBER)  // null in older drivers
  PLACEWRIGHT_CUDA_CAPTURE(PLACEWRIGHT_MEMBER)
#undef PLACEWRIGHT_MEMBER

  const std::string& path() const { return library_.path(); }
  int major() const;        // of the latest CUDA that it is for; 0: it does not say
  bool has_graphs() const;  // those of CUDA 12, by its functions and by the version that it says it has
  bool has_capture() const { return has_capture_; }
  // A stand-in for the driver says by an export of its own that it takes PTX alone.
  bool takes_ptx_alone() const { return takes_ptx_alone_; }
  std::string describe(Result result) const;  // "CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access ..."

 private:
  explicit Driver(SharedLibrary library) : library_(std::move(library)) {}
  SharedLibrary library_;
  bool takes_ptx_alone_ = false, has_graph_functions_ = false, has_capture_ = false;
};

// After such an error the context is of no use any more, and neither is what stands in its memory.
bool is_sticky(Result result);

}  // namespace placewright::cuda
