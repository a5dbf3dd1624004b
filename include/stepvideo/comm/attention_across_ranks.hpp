// Self-attention whose tokens and heads are shared by ranks: Ulysses, ring, and both together.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/view_text.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/attention/attention.hpp>
#include <stepvideo/kernels/attention/merge.hpp>
#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/rope/rope_table.hpp>

namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET {

/// One rank's part of self-attention, scores divided by sqrt(dim). The rank holds its tokens (Mesh::tokens)
/// of its projected heads. Along ulysses it exchanges tokens for heads; along the ring keys and values pass
/// round, and their partial results are merged in float32 and rounded once. Results do not change with
/// guidance, tensor or ulysses, in no bit; along the ring they are deterministic and differ from one rank's
/// by the rounding of float32 sums. The kernels see local counts; a mesh without ulysses and ring is a call
/// of attention.
template <Element T, Communicator C>
class AttentionAcrossRanks {
 public:
  using E = typename C::ExecutionType;

  /// `granule` as in Mesh::tokens. Throws RequestError where the mesh is not for these ranks, or the heads
  /// cannot be shared in it.
  AttentionAcrossRanks(C& communicator, Mesh mesh, HeadShape heads, long long granule = 1)
      : communicator_(communicator),
        mesh_(mesh),
        heads_(heads),
        granule_(granule),
        ulysses_(mesh.group(Axis::ulysses, communicator.rank())),
        ring_(mesh.group(Axis::ring, communicator.rank())) {
    require_topology_covers_ranks(mesh.gpus, communicator.ranks());
    require_heads_shard_across_ranks(heads, mesh.gpus);
  }

  const Mesh& mesh() const { return mesh_; }
  /// The rank's share of `tokens`.
  Shard tokens(long long tokens) const { return mesh_.tokens(tokens, communicator_.rank(), granule_); }
  /// A table for the whole video, for the rank's tokens.
  RopeTableView local(RopeTableView table) const {
    table.first_token = tokens(table.shape.tokens()).first;
    return table;
  }

  /// The memory that a call needs; none where the mesh has neither ulysses nor ring.
  std::size_t workspace_bytes(index_t batch, long long tokens) const {
    std::size_t bytes = 0;
    lay_out(batch, tokens, [&]<class Value>(Value, index_t count) {
      bytes += stepvideo::workspace_bytes<Value>(count);
      return static_cast<Value*>(nullptr);
    });
    return bytes;
  }

  /// out = attention of the rank's queries to all `tokens` keys: (batch, its tokens, its projected heads,
  /// dim) each, any strides; `out` must not overlap the inputs. Called by all ranks of the same prompts
  /// together. Throws RequestError where shapes disagree with the share, and what the communicator throws.
  void operator()(E execution, std::type_identity_t<HeadsView<const T>> queries,
                  std::type_identity_t<HeadsView<const T>> keys,
                  std::type_identity_t<HeadsView<const T>> values, HeadsView<T> out, long long tokens,
                  Workspace workspace) const {
    require_tokens_shard_across_ranks(tokens, mesh_.gpus, granule_);
    for (const auto& view : {queries, keys, values, HeadsView<const T>(out)}) require_share(view, tokens);
    if (mesh_.gpus.token_shards() == 1) {
      attention(execution, queries, keys, values, FullMask{}, out, {.scale = scale()});
      return;
    }
    attend_made(
        execution,
        [&](Shard heads, HeadsView<T> made_queries, HeadsView<T> made_keys, HeadsView<T> made_values) {
          convert(execution, heads_of(queries, heads), made_queries);
          convert(execution, heads_of(keys, heads), made_keys);
          convert(execution, heads_of(values, heads), made_values);
        },
        out, tokens, workspace);
  }

  /// The same for a mesh with ulysses or ring where the caller makes queries, keys and values where they are
  /// sent from: make(heads, queries, keys, values) fills them, (batch, the rank's tokens, those of its
  /// projected heads, dim), for some heads after the other.
  template <class Make>
  void attend_made(E execution, Make&& make, HeadsView<T> out, long long tokens, Workspace workspace) const {
    require_tokens_shard_across_ranks(tokens, mesh_.gpus, granule_);
    require_share(HeadsView<const T>(out), tokens);
    require(mesh_.gpus.token_shards() > 1, [&] {
      return "attention across ranks: nothing is exchanged on " + to_string(mesh_.gpus) +
             "; attention of the views where they lie works";
    });
    const Room room = lay_out(
        out.batch, tokens, [&]<class Value>(Value, index_t count) { return workspace.take<Value>(count); });
    if (ulysses_.size == 1) {
      make(Shard{0, out.heads}, room.queries, room.keys, room.values);
      return pass_round(execution, room, out, tokens);
    }
    const Exchange exchange(*this, out.batch, tokens);
    exchange.for_each_member(room.packed, [&](Shard heads, HeadsView<T> queries, HeadsView<T> keys,
                                              HeadsView<T> values) { make(heads, queries, keys, values); });
    exchange.tokens_for_heads(execution, room.packed[0], room.queries);
    exchange.tokens_for_heads(execution, room.packed[1], room.keys);
    exchange.tokens_for_heads(execution, room.packed[2], room.values);
    // What was sent is sent: the result leaves from there, and comes back there.
    HeadsView<T> result = room.queries;
    result.data = room.packed[0];
    if (ring_.size > 1)
      pass_round(execution, room, result, tokens);
    else
      attention(execution, room.queries, room.keys, room.values, FullMask{}, result, {.scale = scale()});
    exchange.heads_for_tokens(execution, result, room.packed[1]);
    exchange.for_each_member(room.packed,
                             [&](Shard heads, HeadsView<T>, HeadsView<T> attended, HeadsView<T>) {
                               convert(execution, HeadsView<const T>(attended), heads_of(out, heads));
                             });
  }

 private:
  template <class Value>
  static HeadsView<Value> heads_of(HeadsView<Value> view, Shard heads) {
    view.data += heads.first * view.head_stride, view.heads = heads.count;
    return view;
  }

  /// Dense runs of (tokens, batch, heads, dim): the runs of a group's members, one behind the other, are a
  /// run.
  template <class Value>
  static HeadsView<Value> run(Value* data, index_t batch, index_t tokens, index_t heads, index_t dim) {
    return {data, batch, tokens, heads, dim, heads * dim, batch * heads * dim, dim};
  }
  template <class Value>
  static VectorView<Value> elements(HeadsView<Value> run) {
    return {run.data, run.batch * run.tokens * run.heads * run.dim};
  }

  struct Room {
    /// The rank's tokens and projected heads, as they are sent: queries, keys, values. Long enough for the
    /// attended ones, too.
    T* packed[3] = {};
    HeadsView<T> queries, keys, values;        ///< attended tokens and heads
    HeadsView<T> next_keys, next_values;       ///< of the ring, with room for its longest run
    HeadsView<float> merged, partial;          ///< of the ring
    HeadsView<float> merged_sum, partial_sum;  ///< their log-sum-exp
  };

  template <class Take>
  Room lay_out(index_t batch, long long tokens, Take&& take) const {
    const int rank = communicator_.rank();
    const index_t local = mesh_.tokens(tokens, rank, granule_).count,
                  attended = mesh_.attended_tokens(tokens, rank, granule_).count,
                  projected = mesh_.projected_heads(heads_, rank).count,
                  heads = mesh_.attended_heads(heads_, rank).count;
    // The first of a ring has the longest run, and every rank's buffers take it in turn.
    const index_t longest = shard_of(tokens, mesh_.gpus.ring, 0, granule_).count;
    const auto make = [&]<class Value>(Value value, index_t room_tokens, index_t run_tokens, index_t dim) {
      return run(take(value, batch * room_tokens * heads * dim), batch, run_tokens, heads, dim);
    };
    Room room;
    if (mesh_.gpus.token_shards() == 1) return room;
    if (ulysses_.size > 1)
      for (T*& packed : room.packed)
        packed = take(T{}, batch * std::max(local * projected, attended * heads) * heads_.dim);
    room.queries = make(T{}, attended, attended, heads_.dim);
    room.keys = make(T{}, longest, attended, heads_.dim);
    room.values = make(T{}, longest, attended, heads_.dim);
    if (ring_.size > 1) {
      room.next_keys = make(T{}, longest, attended, heads_.dim);
      room.next_values = make(T{}, longest, attended, heads_.dim);
      room.merged = make(float{}, attended, attended, heads_.dim);
      room.partial = make(float{}, attended, attended, heads_.dim);
      room.merged_sum = make(float{}, attended, attended, 1);
      room.partial_sum = make(float{}, attended, attended, 1);
    }
    return room;
  }

  /// The all-to-all of a ulysses group, there and back.
  class Exchange {
   public:
    Exchange(const AttentionAcrossRanks& at, index_t batch, long long tokens) : at_(at), batch_(batch) {
      const int rank = at.communicator_.rank();
      local_tokens_ = at.mesh_.tokens(tokens, rank, at.granule_).count;
      const index_t heads = at.mesh_.attended_heads(at.heads_, rank).count;
      for (int member = 0; member < at.ulysses_.size; ++member) {
        const int other = at.ulysses_.rank(member);
        head_counts_.push_back(at.mesh_.attended_heads(at.heads_, other).count);
        of_heads_.push_back(batch * local_tokens_ * head_counts_.back() * at.heads_.dim);
        of_tokens_.push_back(batch * at.mesh_.tokens(tokens, other, at.granule_).count * heads *
                             at.heads_.dim);
      }
    }

    /// (batch, local tokens, projected heads), as for_each_member() has them, becomes (batch, attended
    /// tokens, attended heads).
    void tokens_for_heads(E execution, T* packed, HeadsView<T> attended) const {
      at_.communicator_.all_to_all(execution, at_.ulysses_, VectorView<const T>{packed, sum_of(of_heads_)},
                                   of_heads_, elements(attended), of_tokens_);
    }
    /// And back.
    void heads_for_tokens(E execution, HeadsView<const T> attended, T* packed) const {
      at_.communicator_.all_to_all(execution, at_.ulysses_, elements(attended), of_tokens_,
                                   VectorView<T>{packed, sum_of(of_heads_)}, of_heads_);
    }
    /// visit(the member's heads of the rank's projected ones, its runs of the three)
    template <class Visit>
    void for_each_member(T* const (&packed)[3], Visit&& visit) const {
      Shard heads;
      index_t at = 0;
      for (std::size_t member = 0; member < head_counts_.size(); ++member) {
        heads.count = head_counts_[member];
        const auto run_of = [&](T* runs) {
          return run(runs + at, batch_, local_tokens_, head_counts_[member], at_.heads_.dim);
        };
        visit(heads, run_of(packed[0]), run_of(packed[1]), run_of(packed[2]));
        heads.first += heads.count, at += of_heads_[member];
      }
    }

   private:
    const AttentionAcrossRanks& at_;
    index_t batch_, local_tokens_ = 0;
    std::vector<index_t> head_counts_, of_heads_, of_tokens_;  ///< by member
  };

  /// Attends to the keys of each rank of the ring, its own first.
  void pass_round(E execution, const Room& room, HeadsView<T> result, long long tokens) const {
    HeadsView<T> keys = room.keys, values = room.values, next_keys = room.next_keys,
                 next_values = room.next_values;
    const auto attend = [&](HeadsView<float> out, HeadsView<float> sum) {
      partial_attention<T>(execution, room.queries, keys, values, FullMask{}, out,
                           {.scale = scale(), .log_sum_exp = sum});
    };
    attend(room.merged, room.merged_sum);
    for (int step = 1; step < ring_.size; ++step) {
      const int from = (ring_.member(communicator_.rank()) + ring_.size - step) % ring_.size;
      next_keys.tokens = next_values.tokens = shard_of(tokens, ring_.size, from, granule_).count;
      communicator_.shift(execution, ring_, elements(keys), elements(next_keys));
      communicator_.shift(execution, ring_, elements(values), elements(next_values));
      std::swap(keys, next_keys), std::swap(values, next_values);
      attend(room.partial, room.partial_sum);
      merge_attention<float>(execution, room.partial, room.partial_sum, room.merged, room.merged_sum);
    }
    convert(execution, HeadsView<const float>(room.merged), result);
  }

  void require_share(const HeadsView<const T>& view, long long tokens) const {
    const index_t local = this->tokens(tokens).count,
                  heads = mesh_.projected_heads(heads_, communicator_.rank()).count;
    require(view.tokens == local && view.heads == heads && view.dim == heads_.dim, [&] {
      return "attention across ranks: a view is " + shape_text(view) + " and rank " +
             std::to_string(communicator_.rank()) + " of " + to_string(mesh_.gpus) + " has " +
             std::to_string(local) + " of " + std::to_string(tokens) + " tokens and " +
             std::to_string(heads) + " of " + std::to_string(heads_.count) + " heads of " +
             std::to_string(heads_.dim) + "; views hold the rank's share";
    });
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(heads_.dim)); }

  C& communicator_;
  Mesh mesh_;
  HeadShape heads_;
  long long granule_;
  Group ulysses_, ring_;
};

}  // namespace stepvideo::inline STEPVIDEO_INSTRUCTION_SET
