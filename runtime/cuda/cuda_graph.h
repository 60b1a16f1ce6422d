// Launches and copies of a device as a CUDA graph: explicit nodes, instantiated once. The host's memory is reached
// through pinned memory of the graph's own, filled before a launch and handed over when an event behind it is finished.
// Addresses that changed since the last launch are set in the nodes that hold them. What a library runs instead of a
// kernel is captured, and a graph within the graph.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "loaded_cuda_image.h"
#include "placewright/runtime/cuda/cuda_device.h"

namespace placewright {

class CudaGraph : public PreparedWork {
 public:
  CudaGraph(CudaDevice& device, std::span<const WorkItem> items);
  ~CudaGraph() override;

  // All below: with the device's mutex held and its context current.
  // False, with the reason, if the driver refuses it for now: then it is of no use.
  bool build(std::string* reason);
  // The same, before anything of it is begun.
  bool run(CudaDevice::Stream& stream, std::string* reason);
  // What the graph left in pinned memory goes to its place: one copy, or (from null) all statuses.
  void deliver(void* to, const void* from, int64_t bytes);
  // Gives back what only libraries need, behind what uses it; whether there was any. The next run has kernels instead.
  bool release_workspace();

 private:
  using Nodes = std::vector<cuda::GraphNodeObject*>;
  struct Node {
    cuda::GraphNodeObject* handle = nullptr;
    const LoadedCudaImage::Phase* phase = nullptr;  // null: a copy, or what a library runs
  };
  struct Item {
    WorkItem work;
    std::vector<Node> nodes;             // none if there is nothing to do
    const LtProduct* product = nullptr;  // what a library runs, as `choice` says, in the first node
    LtChoice choice;
    int64_t sums_bytes = 0;              // of the product's result, with which the other nodes go on; 0: there are none
    std::vector<const void*> addresses;  // as they stand in the nodes
    uint64_t* status = nullptr;          // of a launch, with the address that the device has for it
    cuda::Address status_address = 0;
    uint8_t* pinned = nullptr;  // of a copy from or to the host
    Nodes endings;              // what stands behind the item is behind these
  };

  void allocate_pinned();
  void prepare_run();
  void make();
  void rebuild();
  void choose_libraries();
  bool capture(const Item& item, cuda::GraphObject** made);
  bool add_product(Item& item, const Nodes& before);
  // With the result of the product, what is left to do with it.
  void add_phases(Item& item, Nodes before, void* sums);
  void add_nodes(Item& item);
  // False if the graph is to be built anew.
  bool update(Item& item);
  bool update_product(Item& item);
  void* sums_of(const Item& item) const { return item.product && item.sums_bytes > 0 ? workspace_ : nullptr; }
  void finish_last_run();
  using Ends = std::array<const void*, 2>;
  std::span<const void* const> addresses_of(const Item& item, Ends& ends) const;
  cuda::CopyNode copy_node(const Item& item) const;

  CudaDevice& device_;
  std::vector<Item> items_;
  std::string names_;  // of what it runs, for errors
  cuda::GraphObject* graph_ = nullptr;
  cuda::GraphExecObject* made_ = nullptr;
  void* pinned_ = nullptr;
  // Of what libraries run, one after the other: the result, where kernels go on with it, then what the library needs.
  void* workspace_ = nullptr;
  Nodes workspace_users_;  // the latest
  cuda::EventObject* last_use_ = nullptr;
  bool was_run_ = false;
  bool is_stale_ = false;  // to be built anew before the next run
};

}  // namespace placewright
