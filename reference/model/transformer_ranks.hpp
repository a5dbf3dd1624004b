// The video transformer's work among ranks: what each has of it, and what travels.
#pragma once
#include <algorithm>
#include <concepts>
#include <cstddef>

#include <stepvideo/comm/attention_across_ranks.hpp>
#include <stepvideo/comm/one_rank.hpp>
#include <stepvideo/comm/shared_layers.hpp>
#include <stepvideo/kernels/elementwise/latents.hpp>
#include <stepvideo/kernels/linear/linear.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "model/packed_views.hpp"
#include "model/quantization.hpp"
#include "model/transformer_layout.hpp"

namespace stepvideo::model {

/// What a rank of `mesh` has of a block.
inline BlockShare block_share(const TransformerConfig& config, Mesh mesh, int rank) {
  return {static_cast<index_t>(mesh.projected_heads(config.heads, rank).count) * config.heads.dim,
          static_cast<index_t>(mesh.columns(BlockShare::whole(config).feed_forward, rank).count)};
}

/// How many tokens stay together: on the host as many rows as its products treat alike, so that a row has the
/// same bits on any rank; fewer tokens than that a rank are shared one by one, and then bits differ by
/// rounding.
template <Execution E>
constexpr long long token_granule(long long tokens, Topology gpus) {
  constexpr long long alike = std::same_as<E, Host> ? HostLinearPolicy::row_multiple : 1;
  return (tokens + alike - 1) / alike >= gpus.token_shards() ? alike : 1;
}

/// One rank's share of every forward pass, and its part in what the ranks exchange. For one rank alone
/// nothing is exchanged and nothing is compiled that could be.
template <Element T, Communicator C>
class TransformerRanks {
 public:
  using E = typename C::ExecutionType;
  static constexpr bool is_alone = std::same_as<C, OneRank<E>>;
  /// Whether its attention can be in fp8: of several ranks each would quantise what an exchange brings it.
  static constexpr bool attends_in_fp8 = is_alone && has_fp8<T>;

  /// Throws RequestError where the mesh is not for these ranks, or the heads cannot be shared in it.
  TransformerRanks(C& communicator, Mesh mesh, const TransformerConfig& config)
      : communicator_(communicator),
        mesh_(mesh),
        heads_(config.heads),
        most_channels_(std::max(config.in_channels, config.out_channels)),
        block_(block_share(config, mesh, communicator.rank())) {
    require_topology_covers_ranks(mesh.gpus, communicator.ranks());
    require_heads_shard_across_ranks(heads_, mesh.gpus);
    // The rules are kept; from here on shares of whole granules may differ by one.
    mesh_.gpus.sharding = Sharding::uneven;
  }

  const BlockShare& block() const { return block_; }
  /// The heads whose weights the rank has.
  HeadShape heads() const {
    return {.count = static_cast<int>(mesh_.projected_heads(heads_, communicator_.rank()).count),
            .dim = heads_.dim};
  }
  TransformerShare share(index_t batch, index_t tokens) const { return {batch, own(tokens).count, block_}; }

  /// What exchanges take of a pass over `tokens`, beside the activations.
  std::size_t exchange_bytes(index_t batch, index_t tokens) const {
    if constexpr (is_alone) {
      return 0;
    } else {
      const std::size_t whole =
          mesh_.gpus.token_shards() == 1
              ? 0
              : static_cast<std::size_t>(batch * tokens * most_channels_) * sizeof(float);
      const AttentionAcrossRanks<T, C> attend(communicator_, mesh_, heads_, granule(tokens));
      return whole + attend.workspace_bytes(batch, tokens);
    }
  }

  RopeTableView local(RopeTableView table) const {
    table.first_token = own(table.shape.tokens()).first;
    return table;
  }

  /// The rank's tokens of the latents, (batch, its tokens, channels); in `room` where it has them all.
  TokensView<T> tokens_of(E execution, LatentsView<const float> latents, TokensView<T> room) {
    if (mesh_.gpus.token_shards() == 1) {
      latents_to_tokens(execution, latents, room);
      return room;
    }
    const index_t tokens = latents.shape.tokens();
    auto view = whole<T>(execution, latents.batch, tokens, latents.channels);
    latents_to_tokens(execution, latents, view);
    view.data = view.row(0, own(tokens).first), view.tokens = own(tokens).count;
    return view;
  }
  /// The latents of all tokens, from the rank's `results`: (batch, its tokens, channels).
  void to_latents(E execution, TokensView<float> results, LatentsView<float> latents) {
    TokensView<const float> all(results);
    if constexpr (!is_alone)
      if (mesh_.gpus.token_shards() > 1) {
        const index_t tokens = latents.shape.tokens();
        const auto room = whole<float>(execution, results.batch, tokens, results.width);
        layers(tokens).gather_tokens(execution, TokensView<const float>(results), room);
        all = TokensView<const float>(room);
      }
    tokens_to_latents(execution, all, latents);
  }

  /// Self-attention of the rank's tokens to all `tokens`. `make(packed heads, output)` turns some heads of
  /// the projection's result, [q | k | v] each, into what is attended with: where they lie, or, for the ranks
  /// that exchange them, where they are sent from.
  template <class Make>
  void attend(E execution, TokensView<T> packed, Make&& make, HeadsView<T> out, index_t tokens) {
    const HeadsView<T> all = whole_heads(packed, heads(), 3);
    const auto part = [&](int p) { return packed_heads(packed, heads(), 3, p); };
    if (is_alone || mesh_.gpus.token_shards() == 1) {
      make(all, QkvOutput<T>{part(0), part(1)});
      return attention(execution, part(0), part(1), part(2), FullMask{}, out, {});
    }
    if constexpr (!is_alone) {
      const AttentionAcrossRanks<T, C> attend(communicator_, mesh_, heads_, granule(tokens));
      grow(execution, exchanged_, attend.workspace_bytes(out.batch, tokens));
      attend.attend_made(
          execution,
          [&](Shard heads, HeadsView<T> queries, HeadsView<T> keys, HeadsView<T> values) {
            HeadsView<T> some = all;
            some.data += heads.first * all.head_stride, some.heads = heads.count;
            make(some, QkvOutput<T>{queries, keys, values});
          },
          out, tokens, Workspace(exchanged_));
    }
  }

  // Between its products the residual stream is shared along tensor: each rank adds and normalises its part
  // of the tokens, and what the next product reads is gathered.

  /// The rank's part of a tensor of its tokens.
  template <class Value>
  TokensView<Value> part(TokensView<Value> all) const {
    if constexpr (!is_alone) {
      const Shard own = layers(all.tokens).tokens_along_tensor(all.tokens);
      all.data = all.row(0, own.first), all.tokens = own.count;
    }
    return all;
  }
  // Rows of fp8 with their scales are not shared: serves_fp8().
  ScaledTokensView part(const ScaledTokensView& all) const { return all; }
  void gather_parts(E, const ScaledTokensView&) const {}
  bool serves_fp8() const { return mesh_.gpus.tensor == 1; }

  /// What each rank's heads or hidden columns contribute becomes, in the rank's part, the sum.
  void add_up_part(E execution, TokensView<T> contributions) const {
    if constexpr (!is_alone)
      if (mesh_.gpus.tensor > 1)
        layers(contributions.tokens)
            .add_up_to_parts(execution, TokensView<const T>(contributions), part(contributions));
  }
  /// Each rank's part, on all ranks.
  void gather_parts(E execution, TokensView<T> all) const {
    if constexpr (!is_alone)
      if (mesh_.gpus.tensor > 1)
        layers(all.tokens).gather_parts(execution, TokensView<const T>(part(all)), all);
  }

 private:
  long long granule(index_t tokens) const { return token_granule<E>(tokens, mesh_.gpus); }
  Shard own(index_t tokens) const { return mesh_.tokens(tokens, communicator_.rank(), granule(tokens)); }
  SharedLayers<C> layers(index_t tokens) const { return {communicator_, mesh_, granule(tokens)}; }

  /// Room for a tensor of all tokens, until the next call.
  template <class Value>
  TokensView<Value> whole(E execution, index_t batch, index_t tokens, index_t channels) {
    grow(execution, whole_, static_cast<std::size_t>(batch * tokens * channels) * sizeof(Value));
    return TokensView<Value>::dense(reinterpret_cast<Value*>(whole_.data()), batch, tokens, channels);
  }

  C& communicator_;
  Mesh mesh_;
  HeadShape heads_;
  index_t most_channels_;  ///< of latents and velocities
  BlockShare block_;
  Buffer<std::byte, E> whole_, exchanged_;
};

}  // namespace stepvideo::model
