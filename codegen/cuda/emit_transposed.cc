// Stages that read memory along one dimension and write it along another: a tile of what they read goes through shared
// memory, so that neighbouring lanes touch neighbouring elements both times. A column more than lanes keeps the tile's
// rows and its columns in different banks.
#include <algorithm>

#include <fmt/core.h>

#include "placewright/base/checked.h"
#include "stage_emitter.h"

namespace placewright {

// The schedule's shape says so: lanes over two parallel dimensions that the launch's range runs over in tiles.
bool StageEmitter::is_transposed() const {
  if (grid_.lanes == 1 || stage_.has_reduction()) return false;
  auto is_cut = [&](int dim) {
    return std::any_of(nest_.begin(), nest_.end(), [&](const Loop& loop) {
      return loop.dim == dim && loop.binding == Loop::Binding::thread && loop.step > 1;
    });
  };
  return 2 == std::count_if(nest_.begin(), nest_.end(),
                            [&](const Loop& loop) { return loop.binding == Loop::Binding::lane && is_cut(loop.dim); });
}

// Whether neighbours in memory are neighbours along `across`, and those along `along` are not.
bool StageEmitter::runs_across(const Access& access, int across, int along) const {
  const KernelBuffer& buffer = kernel_.buffers[access.buffer];
  if (!access.indirect.empty() || !buffer.layout.blocks.empty()) return false;
  const std::vector<int64_t> strides = strides_of(access.buffer);
  int64_t step_across = 0, step_along = 0;
  for (size_t i = 0; i < access.index.size(); ++i) {
    if (access.index[i].divisor != 1) return false;
    step_across += access.index[i].coefficients[across] * strides[i];
    step_along += access.index[i].coefficients[along] * strides[i];
  }
  return step_across == 1 && std::abs(step_along) > 1;
}

void StageEmitter::emit_transposed() {
  std::vector<Loop> lanes;
  for (const Loop& loop : nest_)
    if (loop.binding == Loop::Binding::lane) lanes.push_back(loop);
  const int across = lanes[0].dim, along = lanes[1].dim;
  const int64_t side = dims_[along].tile, rows = grid_.lanes / side;
  PW_CHECK(dims_[across].tile == side && rows * lanes[0].step == side && lanes[1].step == 1,
           "a tile that lanes do not share out once");
  const std::string row = name("y"), column = name("x");
  code_.line(fmt::format("const int {} = lane / {}, {} = lane % {};", row, side, column, side));
  std::map<int, std::string> tiles;  // by node
  for (size_t n = 0; n < stage_.body.size(); ++n) {
    const ScalarNode& load = stage_.body[n];
    if (load.op != ScalarOp::load || !runs_across(stage_.accesses[load.slot], across, along)) continue;
    const std::string tile = tiles[static_cast<int>(n)] = name("a");
    code_.line(fmt::format("__shared__ {} {}[{}][{}];", cuda_type(load.dtype), tile, side, side + 1));
  }
  const std::vector<Dim> before = dims_;
  // Calls `body` for each of a lane's points, with its row of the tile.
  auto open_points = [&](int down, int sideways, const std::function<void(const std::string&)>& body) {
    const std::string at = name("o"), line = name("y"), far = name("i"), near = name("i");
    code_.line("#pragma unroll");
    open(fmt::format("for (int {0} = 0; {0} < {1}; {0} += {2})", at, side, rows));
    code_.line(fmt::format("const int {} = {} + {};", line, row, at));
    code_.line(fmt::format("const {} {} = {} + {}, {} = {} + {};", index_, far, before[down].base, line, near,
                           before[sideways].base, column));
    dims_[down] = {far, 1, 1, true, false};
    dims_[sideways] = {near, 1, 1, true, false};
    open(fmt::format("if ({} < {} && {} < {})", far, stage_.extents[down], near, stage_.extents[sideways]));
    body(line);
    close();
    close();
    dims_ = before;
  };
  const Sizes point(static_cast<size_t>(stage_.rank()), 0);
  open_points(along, across, [&](const std::string& line) {
    for (const auto& [number, tile] : tiles)
      code_.line(fmt::format("{}[{}][{}] = {};", tile, line, column, node(BodyKind::body, number, point)));
  });
  code_.line("__syncthreads();");
  open_points(across, along, [&](const std::string& line) {
    for (const auto& [number, tile] : tiles) staged_[number] = fmt::format("{}[{}][{}]", tile, column, line);
    store_points(BodyKind::body, stage_.stores, {point});
  });
  staged_.clear();
}

}  // namespace placewright
