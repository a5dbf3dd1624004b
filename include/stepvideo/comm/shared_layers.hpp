// A layer whose heads, hidden columns and tokens are shared by ranks: which part of each weight a rank holds,
// and the collectives between its products.
#pragma once
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/view_text.hpp>

namespace stepvideo {

/// Rows [share.first, share.end()) times `each` of a weight (results, depth): what makes a rank's share of
/// the results, nothing exchanged. A projection of heads has parts x dim rows for each.
template <class T>
constexpr MatrixView<T> results_share(MatrixView<T> weight, Shard share, index_t each = 1) {
  return {weight.row(share.first * each), share.count * each, weight.columns, weight.row_stride};
}
/// Columns of a weight (results, depth): what a rank's share of the depth contributes to every result. The
/// contributions of all ranks are added up.
template <class T>
constexpr MatrixView<T> depth_share(MatrixView<T> weight, Shard share, index_t each = 1) {
  return {weight.data + share.first * each, weight.rows, share.count * each, weight.row_stride};
}

/// The collectives of a layer for one rank of a mesh. Tensors are (batch, tokens, width) with dense tokens
/// and, but for parts, batch elements; `tokens` is the number of the whole video. Throws RequestError where a
/// tensor is not the rank's share, and what the communicator throws.
template <Communicator C>
class SharedLayers {
 public:
  using E = typename C::ExecutionType;

  /// `granule` as in Mesh::tokens. Throws RequestError where the mesh is not for these ranks.
  SharedLayers(C& communicator, Mesh mesh, long long granule = 1)
      : communicator_(communicator), mesh_(mesh), granule_(granule) {
    require_topology_covers_ranks(mesh.gpus, communicator.ranks());
  }

  /// Each rank's contribution to a product over shared heads or columns becomes their sum, along tensor.
  template <Summable T>
  void add_up(E execution, TokensView<T> contributions) const {
    require_dense("add_up", contributions);
    communicator_.all_reduce(execution, along(Axis::tensor), elements(contributions));
  }

  /// The same where the residual stream's tokens are shared along tensor as well: the rank receives the sum
  /// of its part, tokens_along_tensor(contributions.tokens), which may be that part of the contributions.
  template <Summable T>
  void add_up_to_parts(E execution, TokensView<const T> contributions, TokensView<T> part) const {
    require_dense("add_up_to_parts", contributions);
    for_each_element("add_up_to_parts", contributions, part, tensor_counts(contributions),
                     [&](VectorView<const T> all, Counts counts, VectorView<T> mine) {
                       communicator_.reduce_scatter(execution, along(Axis::tensor), all, counts, mine);
                     });
  }
  /// And back: every rank along tensor receives all of their tokens. `part` may be its part of `all`.
  template <Movable T>
  void gather_parts(E execution, TokensView<const T> part, TokensView<T> all) const {
    require_dense("gather_parts", all);
    for_each_element("gather_parts", all, part, tensor_counts(all),
                     [&](VectorView<T> whole, Counts counts, VectorView<const T> mine) {
                       communicator_.all_gather(execution, along(Axis::tensor), mine, counts, whole);
                     });
  }
  Shard tokens_along_tensor(index_t local_tokens) const {
    const Group group = along(Axis::tensor);
    return shard_of(local_tokens, group.size, group.member(communicator_.rank()));
  }

  /// Every rank of a prompt receives the whole video's tokens.
  template <Movable T>
  void gather_tokens(E execution, TokensView<const T> mine, TokensView<T> all) const {
    require_dense("gather_tokens", all);
    const Group group = along(Axis::tokens);
    std::vector<index_t> counts;
    for (int member = 0; member < group.size; ++member)
      counts.push_back(mesh_.tokens(all.tokens, group.rank(member), granule_).count * all.width);
    for_each_element("gather_tokens", all, mine, counts,
                     [&](VectorView<T> whole, Counts of_each, VectorView<const T> part) {
                       communicator_.all_gather(execution, group, part, of_each, whole);
                     });
  }

  /// Prompt and negative prompt, each computed by its half of the ranks, reach both: (1, tokens, width)
  /// becomes (2, tokens, width). Without guidance over ranks the rank has both already.
  template <Movable T>
  void gather_prompts(E execution, TokensView<const T> mine, TokensView<T> pair) const {
    const Group group = along(Axis::guidance);
    const index_t each = pair.tokens * pair.width;
    const std::vector<index_t> counts(std::size_t(group.size), 2 / group.size * each);
    require_dense("gather_prompts", pair);
    require_dense("gather_prompts", mine);
    require(pair.batch == 2 && mine.batch * group.size == 2 && mine.tokens == pair.tokens &&
                mine.width == pair.width,
            [&] {
              return "gather_prompts: this rank has " + shape_text(mine) + " and the pair is " +
                     shape_text(pair) + "; the pair holds two prompts of the same tokens and width";
            });
    communicator_.all_gather(execution, group, VectorView<const T>{mine.data, counts[0]}, counts,
                             elements(pair));
  }

 private:
  Group along(Axis axis) const { return mesh_.group(axis, communicator_.rank()); }

  template <class T>
  static VectorView<T> elements(const TokensView<T>& view) {
    return {view.data, view.batch * view.tokens * view.width};
  }

  template <class T>
  std::vector<index_t> tensor_counts(const TokensView<T>& all) const {
    std::vector<index_t> counts;
    const int size = along(Axis::tensor).size;
    for (int member = 0; member < size; ++member)
      counts.push_back(shard_of(all.tokens, size, member).count * all.width);
    return counts;
  }

  /// `exchange(all tokens, counts, this rank's tokens)` of each batch element, whose tokens lie together.
  template <class All, class Part, class Exchange>
  static void for_each_element(std::string_view op, const TokensView<All>& all, const TokensView<Part>& part,
                               Counts counts, Exchange&& exchange) {
    require(part.token_stride == part.width, [&] { return gaps_text(op, part); });
    require(part.batch == all.batch && part.width == all.width, [&] {
      return std::string(op) + ": the part is " + shape_text(part) + " and the whole " + shape_text(all) +
             "; batch and width must be equal";
    });
    for (index_t element = 0; element < all.batch; ++element)
      exchange(VectorView<All>{all.row(element, 0), all.tokens * all.width}, counts,
               VectorView<Part>{part.row(element, 0), part.tokens * part.width});
  }

  template <class T>
  static void require_dense(std::string_view op, const TokensView<T>& view) {
    require(view.token_stride == view.width && view.batch_stride == view.tokens * view.width,
            [&] { return gaps_text(op, view); });
  }
  template <class T>
  static std::string gaps_text(std::string_view op, const TokensView<T>& view) {
    return std::string(op) + ": a tensor of " + shape_text(view) +
           " has gaps between tokens or batch elements; collectives take dense ones";
  }

  C& communicator_;
  Mesh mesh_;
  long long granule_;
};

}  // namespace stepvideo
