// What a block of the plain path keeps of one tile of queries: operands on their way to shared memory, scores
// and softmax in registers, results in shared memory.
#pragma once
#include <cuda/functional>
#include <cuda/std/functional>

#include <stepvideo/core/view.hpp>
#include <stepvideo/kernels/attention/query_mask.cuh>
#include <stepvideo/kernels/attention/softmax_state.hpp>
#include <stepvideo/kernels/tile/float_tile.cuh>
#include <stepvideo/kernels/tile/pack.cuh>
#include <stepvideo/kernels/tile/row_reduce.cuh>

namespace stepvideo {

/// The tokens of one head, read four channels at a time.
template <class T>
struct PlainTokens {
  static constexpr int group = 4;

  const T* data;
  index_t stride;
  int tokens, channels;
  bool has_packs;  ///< groups lie where they can be read at once, and none ends behind the last channel

  /// Zeros behind the last token and the last channel.
  __device__ Pack<T, group> load(int token, int channel) const {
    Pack<T, group> pack{};
    if (token >= tokens || channel >= channels) return pack;
    const T* const source = data + token * stride + channel;
    if (has_packs) return load_pack<group>(source);
#pragma unroll
    for (int e = 0; e < group; ++e)
      if (channel + e < channels) pack.elements[e] = source[e];
    return pack;
  }
};

/// Tiles of 64 queries and 64 keys. Scores are made from `depth` channels of both at a time, results 64
/// channels at a time; a thread has 8 queries by 4 keys or channels of each.
struct PlainTiling {
  static constexpr int threads = 128, queries = 64, keys = 64, channels = 64, depth = 32;
  /// Neighbouring lanes that share their queries.
  static constexpr int lanes = keys / OuterProductShare::right_columns;
  static_assert(threads / lanes * OuterProductShare::left_columns == queries);

  static __device__ OuterProductShare share() {
    const int thread = static_cast<int>(threadIdx.x);
    return {thread / lanes * OuterProductShare::left_columns,
            thread % lanes * OuterProductShare::right_columns};
  }
};

/// A block's shared memory. Behind it lie the results, 64 channels after another.
struct PlainAttentionShared {
  union {
    struct {
      FloatTile<PlainTiling::depth> queries, keys;  // (channels, tokens)
    };
    FloatTile<PlainTiling::keys> values;  // (keys, channels)
  };
  FloatTile<PlainTiling::keys> weights;  // (keys, queries)
  LanesAllReduce<PlainTiling::lanes>::Storage reduce[PlainTiling::threads / PlainTiling::lanes];

  /// Of 64 channels: four of each of a thread's queries side by side, which the thread alone touches.
  struct Results {
    float4 rows[OuterProductShare::left_columns][PlainTiling::threads];
  };
  __device__ Results& results(int slice) { return reinterpret_cast<Results*>(this + 1)[slice]; }
};
static_assert(sizeof(PlainAttentionShared) % alignof(float4) == 0);
static_assert(sizeof(PlainAttentionShared::Results) == 16 * 1024);

/// A thread's groups of the next operands, in registers while the block works on those before.
template <class T>
class PlainOperands {
  static constexpr int group = PlainTokens<T>::group;

 public:
  /// `depth` channels of 64 queries and 64 keys.
  __device__ void load_queries_and_keys(const PlainTokens<T>& queries, int first_query,
                                        const PlainTokens<T>& keys, int first_key, int channel) {
#pragma unroll
    for (int i = 0; i < deep; ++i) {
      groups_[i] = queries.load(first_query + deep_row(i), channel + deep_channel());
      groups_[deep + i] = keys.load(first_key + deep_row(i), channel + deep_channel());
    }
  }
  /// 64 channels of 64 values.
  __device__ void load_values(const PlainTokens<T>& values, int first_key, int channel) {
#pragma unroll
    for (int i = 0; i < wide; ++i)
      groups_[i] = values.load(first_key + wide_row(i), channel + wide_channel());
  }

  __device__ void store_queries_and_keys(PlainAttentionShared& shared) const {
#pragma unroll
    for (int i = 0; i < deep; ++i) {
      float query[group], key[group];
      widen_pack(groups_[i], query);
      widen_pack(groups_[deep + i], key);
#pragma unroll
      for (int e = 0; e < group; ++e) {
        shared.queries.at(deep_channel() + e, deep_row(i)) = query[e];
        shared.keys.at(deep_channel() + e, deep_row(i)) = key[e];
      }
    }
  }
  __device__ void store_values(PlainAttentionShared& shared) const {
#pragma unroll
    for (int i = 0; i < wide; ++i) {
      float value[group];
      widen_pack(groups_[i], value);
      shared.values.group(wide_row(i), wide_channel()) = {value[0], value[1], value[2], value[3]};
    }
  }

 private:
  /// Groups of a row, and of a thread, in tiles of `depth` and of 64 channels.
  static constexpr int deep_groups = PlainTiling::depth / group, wide_groups = PlainTiling::channels / group;
  static constexpr int deep = PlainTiling::keys * deep_groups / PlainTiling::threads,
                       wide = PlainTiling::keys * wide_groups / PlainTiling::threads;

  static __device__ int deep_row(int i) {
    return (static_cast<int>(threadIdx.x) + i * PlainTiling::threads) / deep_groups;
  }
  static __device__ int deep_channel() {
    return static_cast<int>(threadIdx.x) % deep_groups * group;
  }
  static __device__ int wide_row(int i) {
    return (static_cast<int>(threadIdx.x) + i * PlainTiling::threads) / wide_groups;
  }
  static __device__ int wide_channel() {
    return static_cast<int>(threadIdx.x) % wide_groups * group;
  }

  static_assert(2 * deep == wide);
  Pack<T, group> groups_[wide];
};

/// The softmax of a thread's queries. The lanes that share them know the same maxima and each have a part of
/// the sums.
template <class Mask>
class PlainSoftmax {
  static constexpr int rows = OuterProductShare::left_columns, columns = OuterProductShare::right_columns;
  using Reduce = LanesAllReduce<PlainTiling::lanes>;

 public:
  using Scores = float[rows][columns];

  __device__ explicit PlainSoftmax(const QueryMask<Mask>& mask) : mask_(mask) {
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      visible_[row] = mask.visible_keys(share_.left + row);
      if constexpr (KeyRangeMask<Mask>) first_[row] = mask.first_key(share_.left + row);
    }
  }

  /// products -> weights exp(score - max), zero where a key is hidden; factor() says what older results are
  /// multiplied with.
  __device__ void weigh(Scores& scores, float scale, int first_key, PlainAttentionShared& shared) {
    const int first = first_key + share_.right;
#pragma unroll
    for (int row = 0; row < rows; ++row) {
      float largest = SoftmaxState::no_score;
#pragma unroll
      for (int column = 0; column < columns; ++column) {
        float& score = scores[row][column];
        score *= scale;
        if (!sees(row, first + column)) continue;
        if constexpr (AttentionBias<Mask>)
          score += mask_.mask.bias(mask_.head, mask_.query_at(share_.left + row), first + column);
        largest = fmaxf(largest, score);
      }
      largest = Reduce::reduce(storage(shared), largest, cuda::maximum<float>{});
      factors_[row] = states_[row].raise_to(largest);
#pragma unroll
      for (int column = 0; column < columns; ++column) {
        float& score = scores[row][column];
        score = sees(row, first + column) ? fast_exp(score - states_[row].max) : 0.0f;
        states_[row].sum += score;
      }
    }
  }
  __device__ float factor(int row) const {
    return factors_[row];
  }

  /// Joins the lanes' sums; once, after the last tile.
  __device__ void finish(PlainAttentionShared& shared) {
#pragma unroll
    for (int row = 0; row < rows; ++row)
      states_[row].sum = Reduce::reduce(storage(shared), states_[row].sum, cuda::std::plus<float>{});
  }
  /// What a query's result is multiplied with in the end; zero where no key was seen.
  __device__ float normaliser(int row) const {
    return states_[row].is_empty() ? 0.0f : 1.0f / states_[row].sum;
  }
  __device__ float log_sum_exp(int row) const {
    return states_[row].log_sum_exp();
  }

 private:
  __device__ bool sees(int row, int key) const {
    if constexpr (KeyRangeMask<Mask>)
      if (key < first_[row]) return false;
    return key < visible_[row];
  }
  static __device__ auto& storage(PlainAttentionShared& shared) {
    return shared.reduce[threadIdx.x / PlainTiling::lanes];
  }

  QueryMask<Mask> mask_;
  OuterProductShare share_ = PlainTiling::share();
  int visible_[rows];
  int first_[KeyRangeMask<Mask> ? rows : 1];
  SoftmaxState states_[rows];
  float factors_[rows];
};

}  // namespace stepvideo
