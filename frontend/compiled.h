// A function of tensors with its specialisations: one for each combination of argument types and places.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "capture/node.h"
#include "placewright/compile.h"

namespace placewright::capture {

class LoadedGraph;  // load_graph.h

// What running the user's function on stand-ins for the arguments gives.
struct Traced {
  std::vector<Tensor> results;
  std::vector<CapturedUpdate> updates;
};

class Compiled {
 public:
  virtual ~Compiled() = default;
  explicit Compiled(CompileOptions options) : options_(std::move(options)) {}

  Captured capture(std::span<const Tensor> arguments);
  std::vector<Tensor> call(std::span<const Tensor* const> arguments, std::source_location where);
  Tensor call_first(std::span<const Tensor* const> arguments, std::source_location where);  // the first result alone
  std::vector<const Specialisation*> specialisations() const;
  const Specialisation& last() const;  // the one that the last call used; Error before the first call

 protected:
  virtual Traced trace(std::span<const Tensor> stand_ins, std::span<const Tensor> scalars) = 0;
  virtual std::string argument_name(size_t i) const { return "argument" + std::to_string(i); }
  // Scalar arguments that are no tensors of the caller's: hyper-parameters.
  virtual std::vector<Tensor> make_scalars() { return {}; }
  virtual size_t scalar_count() const { return 0; }
  virtual void scalar_values(std::span<double>) const {}
  virtual uint64_t structure() const { return 0; }  // what else the captured graph depends on

 private:
  struct Entry {
    std::vector<Type> types;
    std::vector<DeviceId> devices;
    uint64_t structure = 0;
    std::vector<double> scalars;  // hyper-parameters, as of the last call
    std::shared_ptr<LoadedGraph> loaded;
    std::vector<int64_t> serials;  // of the arguments of the last call: the same tensors need no second look
  };
  Entry& find_or_load(std::span<const Tensor* const> arguments);
  Entry& prepare(std::span<const Tensor* const> arguments, std::source_location where);

  CompileOptions options_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Entry>> entries_;
  const LoadedGraph* last_ = nullptr;
};

}  // namespace placewright::capture
