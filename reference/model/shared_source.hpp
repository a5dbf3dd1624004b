// The part of the video transformer's weights that one rank has.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include <stepvideo/comm/mesh.hpp>

#include "model/config.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

/// Reads of each block's matrices the rank's part alone (BlockShare says how large that is), and everything
/// else whole. `Whole` is a WeightSource<Host> that reads parts.
template <class Whole>
class SharedSource final : public WeightSource<Host> {
 public:
  SharedSource(Whole whole, const TransformerConfig& config, Mesh mesh, int rank)
      : whole_(std::move(whole)), config_(config), mesh_(mesh), rank_(rank) {}

  const io::Shape& shape(const std::string& name) const override { return whole_.shape(name); }
  void read(const std::string& name, VectorView<float> into) override { read_share(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { read_share(name, into); }

 private:
  /// How a matrix (results, depth) is shared: which side of it, and what a head or hidden column has there.
  struct Cut {
    std::string_view matrix;  ///< its name behind "transformer_blocks.N."
    enum Side { results, depth } side;
    enum Thing { heads, columns } things;
    index_t each;  ///< rows or columns, for a head in units of its dim
  };
  static constexpr Cut cuts[] = {{"attn1.wqkv.weight", Cut::results, Cut::heads, 3},
                                 {"attn1.wo.weight", Cut::depth, Cut::heads, 1},
                                 {"attn2.wq.weight", Cut::results, Cut::heads, 1},
                                 {"attn2.wkv.weight", Cut::results, Cut::heads, 2},
                                 {"attn2.wo.weight", Cut::depth, Cut::heads, 1},
                                 {"ff.net.0.proj.weight", Cut::results, Cut::columns, 1},
                                 {"ff.net.2.weight", Cut::depth, Cut::columns, 1}};

  template <Element T>
  void read_share(const std::string& name, VectorView<T> into) {
    for (const Cut& cut : cuts)
      if (name.starts_with("transformer_blocks.") && name.ends_with(cut.matrix))
        return whole_.read(name, part_of(shape(name), cut), into);
    whole_.read(name, into);
  }

  io::ElementRuns part_of(const io::Shape& shape, const Cut& cut) const {
    const index_t rows = shape.at(0), columns = shape.at(1);
    const bool is_heads = cut.things == Cut::heads;
    const Shard share = is_heads ? mesh_.projected_heads(config_.heads, rank_)
                                 : mesh_.columns(cut.side == Cut::results ? rows : columns, rank_);
    const index_t each = is_heads ? cut.each * config_.heads.dim : cut.each;
    const index_t first = share.first * each, count = share.count * each;
    if (cut.side == Cut::results) return {.first = first * columns, .count = count * columns};
    return {.first = first, .count = count, .stride = columns, .runs = rows};
  }

  Whole whole_;
  TransformerConfig config_;
  Mesh mesh_;
  int rank_;
};

}  // namespace stepvideo::model
