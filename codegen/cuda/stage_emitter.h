// Emits one stage of a kernel as CUDA C++, inside a phase's function: loops as its schedule says, and at every point of
// the tile that they leave the nodes of its body, with equal values computed once. Knows no ops.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "placewright/ir/kernel.h"
#include "placewright/ir/schedule.h"

namespace placewright {

// Text with indentation.
class CodeText {
 public:
  void line(const std::string& text) { text_ += std::string(static_cast<size_t>(2 * depth_), ' ') + text + "\n"; }
  void open(const std::string& text) { line(text.empty() ? "{" : text + " {"), ++depth_; }
  void close(const std::string& text = "}") { --depth_, line(text); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  int depth_ = 0;
};

std::string cuda_type(DType dtype);         // of a value in registers
std::string cuda_memory_type(DType dtype);  // of an element
std::string cuda_constant(const ScalarNode& node);

// How the threads of a launch share it out: `lanes` of them work on each iteration of its range.
struct GridShape {
  int64_t range = 1;  // iterations of the thread loops
  int lanes = 1;      // 1, 2, 4 ... 32, or a multiple of 32
  int per_group = 1;  // iterations in one group of threads
  int group_threads = 32;
  int64_t groups = 0;
  size_t shared_dims = 0;  // leading dimensions of a group of stages, of which `held` buffers have one index each
  std::vector<int> held;
  bool is_held(int buffer) const { return std::find(held.begin(), held.end(), buffer) != held.end(); }
};

class StageEmitter {
 public:
  // `iteration`: the variable that counts the launch's range; `number` makes names unique in the function.
  StageEmitter(const StructuredKernel& kernel, int number, const StageSchedule& how, std::vector<Loop> nest,
               const GridShape& grid, CodeText& code);
  void emit(const std::string& iteration);

 private:
  struct Dim {
    std::string base;          // variable, or "0"
    int64_t tile = 0;          // points that the loops leave
    int64_t low_multiple = 0;  // base is a multiple of this; 0: base is 0
    bool has_loop = false;
    bool overhangs = false;  // base + offset may pass the extent
  };
  enum class BodyKind : uint8_t { body, epilogue, combine };
  using Memo = std::map<std::vector<int64_t>, std::string>;

  // emit_stage.cc
  void open_range(const std::string& iteration);
  std::string open_share(const std::string& iteration);
  void skip_others();
  void open_loop(const Loop& loop);
  void open_lanes(const std::vector<Loop>& loops);
  void split(const std::vector<Loop>& loops, const std::string& flat, const std::string& name);
  int64_t iterations(const Loop& loop) const;
  void enter(const Loop& loop, const std::string& base);
  void run_leaf();
  void open(const std::string& text);
  void close();
  std::vector<Sizes> tile_points(bool reduced) const;
  std::string overhang(const Sizes& point, bool reduced) const;
  bool is_vector(int dim) const { return dim == how_.vector_dim; }

  // emit_reduction.cc
  void emit_reduction();
  std::string state(size_t point, size_t part, size_t state) const;
  void reduce_tile(const std::vector<Sizes>& points);
  void reduce_point(size_t point, size_t part, const Sizes& at);
  std::vector<std::string> combine(const std::vector<std::string>& left, const std::vector<std::string>& right);
  void join_lanes();
  bool is_columns() const;
  void emit_columns();
  void define_states(size_t points);
  void assign(const std::vector<std::string>& to, const std::vector<std::string>& values);

  // emit_tiles.cc
  struct TileSide {
    int dim = -1;
    int64_t tile = 1, step = 1;  // of the group, of each lane
    std::string at, shared;      // where the lane's part begins; the factor's staged elements
    int factor = -1;             // node of the body
    bool is_deep = false;        // memory runs along the depth
    int64_t at_once = 1;         // elements that are copied as one, across the tile

    static constexpr int64_t most_together = 4;  // results of a lane that are neighbours
    int64_t together() const { return std::min(step, most_together); }
    std::string place(const std::string& offset) const;  // in the tile, of the lane's result
  };
  bool is_tiled() const;
  void find_run(TileSide& side, const Loop& depth);
  void emit_tiles();
  void open_points(const TileSide (&sides)[2], const std::function<void(const std::string&, const std::string&)>& body);
  void sum_steps(const TileSide (&sides)[2], const Loop& depth, const std::string& sums);
  void sum_steps_ahead(const TileSide (&sides)[2], const Loop& depth, const std::string& sums);
  void add_products(const TileSide (&sides)[2], const Loop& depth, const std::string& sums, const std::string& half);
  bool is_copied(int factor) const;
  void stage_factor(const TileSide& side, const Loop& depth, const std::string& shared, bool copies);

  // emit_matrix.cc
  struct MatrixSide {
    const MatrixTiles::Side* tiles = nullptr;
    int64_t count = 0;               // positions in all
    std::string base, part, shared;  // where tile and warp's part begin; the factor's staged elements
    int factor = -1;                 // node of the body
    bool is_copied = false;          // an element of memory, which hardware copies on its own
    bool is_deep = false;            // staged with the depth moving fastest
    int64_t at_once = 1;             // elements that are copied as one
  };
  void emit_matrix(const std::string& iteration);
  MatrixSide matrix_side(const MatrixTiles::Side& tiles, const std::string& tile, const std::string& part);
  void open_each(const std::string& variable, int64_t count);
  void open_turns(const std::string& variable, const std::string& first, int64_t step, int64_t end);
  void find_run(MatrixSide& side, int factor);
  const ScalarNode* find_load(int number, const std::vector<int>& some, const std::vector<int>& others);
  std::vector<int64_t> steps_of(const Access& access) const;
  int64_t run_of(const Access& access, const std::vector<int>& dims) const;
  bool is_aligned(const Access& access, const std::vector<int>& along) const;
  void sum_matrix_steps(const MatrixSide (&sides)[2], const std::string& sums, const std::string& row,
                        const std::string& column);
  void stage_matrix(const MatrixSide& side, const std::string& number);
  void fetch(const MatrixSide& side, const std::string& inside, const std::string& target);
  void add_matrices(const MatrixSide (&sides)[2], const std::string& step, const std::string& sums,
                    const std::string& row, const std::string& column);
  void store_matrix(const MatrixSide (&sides)[2], const std::string& sums, const std::string& row,
                    const std::string& column);

  // emit_transposed.cc
  bool is_transposed() const;
  bool runs_across(const Access& access, int across, int along) const;
  void emit_transposed();

  // emit_body.cc
  std::string node(BodyKind kind, int number, const Sizes& point);
  std::string load(BodyKind kind, const ScalarNode& node, const Sizes& point);
  void store_points(BodyKind kind, const std::vector<Store>& stores, const std::vector<Sizes>& points);
  void store(BodyKind kind, const Store& store, const Sizes& point);
  bool store_vector(BodyKind kind, const Store& store, const Sizes& point);
  struct Place {
    std::string offset;     // of the element
    std::string condition;  // inside its buffer; empty: always
  };
  Place place(BodyKind kind, const Access& access, const Sizes& point);
  std::string index_text(const AffineExpr& expr, const Sizes& point) const;
  bool stays_inside(const AffineExpr& expr, int64_t size) const;
  bool is_run(const Access& access, const Sizes& first) const;
  std::vector<int64_t> strides_of(int buffer) const;
  uint64_t dependencies(BodyKind kind, int number);
  uint64_t dependencies(BodyKind kind, const Access& access);
  Sizes relevant(const Sizes& point, uint64_t dims) const;
  const ScalarBody& body_of(BodyKind kind) const;
  const std::string* recall(const std::vector<int64_t>& key) const;
  std::string name(const std::string& kind);
  std::string buffer(int number) const;

  const StructuredKernel& kernel_;
  const Stage& stage_;
  const int number_;
  const StageSchedule& how_;
  const std::vector<Loop> nest_;  // the group's shared loops, then the stage's own
  const GridShape& grid_;
  CodeText& code_;
  std::string index_;  // type of indices
  std::string share_;  // of what is in order, this thread's
  std::vector<Dim> dims_;
  std::vector<Memo> memo_;
  std::vector<std::string> parameters_;  // of a custom combine
  std::map<std::vector<int64_t>, std::vector<std::string>> reduced_at_;
  bool is_repeated_ = false;           // the reduction stands in a loop
  std::map<int, std::string> staged_;  // loads of the body whose values stand in shared memory
  int names_ = 0;
};

}  // namespace placewright
