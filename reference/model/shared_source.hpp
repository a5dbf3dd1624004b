// The part of the video transformer's weights that one rank has.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <stepvideo/comm/mesh.hpp>
#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>

#include "model/config.hpp"
#include "model/parameter.hpp"

namespace stepvideo::model {

/// Which part of a tensor a rank has: of each block's matrices BlockShare says how large that is, and
/// everything else it has whole.
class RankParts {
 public:
  RankParts(const TransformerConfig& config, Mesh mesh, int rank)
      : config_(config), mesh_(mesh), rank_(rank) {}

  /// Nothing where the rank has all of it.
  std::optional<io::ElementRuns> of(const std::string& name, const io::Shape& shape) const {
    if (mesh_.gpus.tensor == 1 || !name.starts_with("transformer_blocks.")) return {};
    for (const Cut& cut : cuts)
      if (name.ends_with(cut.matrix)) return part_of(shape, cut);
    return {};
  }

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

  TransformerConfig config_;
  Mesh mesh_;
  int rank_;
};

/// Reads the rank's parts alone. `Whole` is a WeightSource<Host> that reads parts.
template <class Whole>
class SharedSource final : public WeightSource<Host> {
 public:
  SharedSource(Whole whole, const TransformerConfig& config, Mesh mesh, int rank)
      : whole_(std::move(whole)), parts_(config, mesh, rank) {}

  const io::Shape& shape(const std::string& name) const override { return whole_.shape(name); }
  void read(const std::string& name, VectorView<float> into) override { read_part(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { read_part(name, into); }

 private:
  template <Element T>
  void read_part(const std::string& name, VectorView<T> into) {
    if (const auto part = parts_.of(name, shape(name)))
      whole_.read(name, *part, into);
    else
      whole_.read(name, into);
  }

  Whole whole_;
  RankParts parts_;
};

/// The same on a GPU, where a tensor comes whole through its ring and what is not the rank's is left out
/// there. The whole source outlives it.
template <Execution E>
class CutSource final : public WeightSource<E> {
 public:
  CutSource(E execution, WeightSource<E>& whole, const TransformerConfig& config, Mesh mesh, int rank)
      : execution_(execution), whole_(whole), parts_(config, mesh, rank) {}

  const io::Shape& shape(const std::string& name) const override { return whole_.shape(name); }
  void read(const std::string& name, VectorView<float> into) override { read_part(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { read_part(name, into); }
  bool has_scales(const std::string& name) const override {
    return !parts_.of(name, shape(name)) && whole_.has_scales(name);
  }
  void read_scaled(const std::string& name, const ScaledTokensView& into) override {
    whole_.read_scaled(name, into);
  }

 private:
  template <Element T>
  void read_part(const std::string& name, VectorView<T> into) {
    const auto part = parts_.of(name, shape(name));
    if (!part) return whole_.read(name, into);
    const Buffer<T, E> all(execution_, static_cast<index_t>(io::element_count(shape(name))));
    whole_.read(name, all.vector());
    if (part->runs == 1)
      return copy(execution_, VectorView<const T>{all.data() + part->first, part->count}, into);
    convert(execution_,
            TokensView<const T>{.data = all.data() + part->first,
                                .batch = 1,
                                .tokens = part->runs,
                                .width = part->count,
                                .batch_stride = 0,
                                .token_stride = part->stride},
            TokensView<T>::dense(into.data, 1, part->runs, part->count));
  }

  E execution_;
  WeightSource<E>& whole_;
  RankParts parts_;
};

}  // namespace stepvideo::model
