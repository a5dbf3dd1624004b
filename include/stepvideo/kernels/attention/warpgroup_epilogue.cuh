// How the results of warpgroup_attention leave a warpgroup.
#pragma once
#include <concepts>
#include <cstdint>

#include <stepvideo/kernels/attention/partial_results.cuh>
#include <stepvideo/kernels/attention/row_softmax.cuh>
#include <stepvideo/kernels/attention/warpgroup_pipeline.cuh>
#include <stepvideo/kernels/tile/accumulator_rows.cuh>
#include <stepvideo/kernels/tile/async_copy.cuh>
#include <stepvideo/kernels/tile/mma_sync.cuh>
#include <stepvideo/kernels/tile/schedule.cuh>

namespace stepvideo {

/// Stores a warpgroup's results: rounded to T through the shared memory of their queries, partial ones from
/// its registers.
template <class Policy>
class WarpgroupEpilogue {
 public:
  using T = typename Policy::Element;
  using Params = WarpgroupAttentionParams<typename Policy::Mask, typename Policy::Results>;
  using Shared = WarpgroupAttentionShared<Policy>;

  __device__ WarpgroupEpilogue(const Params& params, Shared& shared, int consumer)
      : params_(params), shared_(shared), consumer_(consumer) {}

  /// Starts to store the results of the queries from at.first_query on, which lie in `query_stage` and are
  /// not needed any more. The softmax is finished.
  __device__ void store(const AttentionWork& at, const RowSoftmax<T>& softmax,
                        const Accumulator<Policy::dim>& results, int query_stage) {
    store_log_sum_exp(at, softmax);
    if constexpr (std::same_as<typename Policy::Results, PartialResults>) {
      store_partial(at, softmax, results);
      named_barrier_wait(1 + consumer_, Policy::warpgroup);  // no warp's products read the queries any more
      stored_stage_ = query_stage;
    } else {
      store_rounded(at, softmax, results, query_stage);
    }
  }

  /// Lets the fetching warpgroup have the stage from which the last results were stored. Not at once: the
  /// copy takes its time.
  __device__ void free_stored_queries() {
    if (thread() == 0 && stored_stage_ >= 0) {
      store_wait_read();
      shared_.queries_free[stored_stage_][consumer_].arrive();
    }
    stored_stage_ = -1;
  }

 private:
  __device__ void store_rounded(const AttentionWork& at, const RowSoftmax<T>& softmax,
                                const Accumulator<Policy::dim>& results, int query_stage) {
    auto& tile = shared_.queries[query_stage][consumer_];
    const float normalisers[2] = {softmax.normaliser(0), softmax.normaliser(1)};
    // Lanes address the 16 rows of their warp, in two neighbouring 16-byte units, which the 128-byte swizzle
    // exchanges by the row's number. Opaque: made anew for every tile of queries, not kept in local memory.
    const int row = opaque(thread() / 32 * 16 + lane() % 16);
    const std::uint32_t address = shared_address(tile[0]) + row * 128 + (lane() / 16 ^ row % 8) * 16;
#pragma unroll
    for (int i = 0; i < results.size; i += 8) {
      MmaFragment pairs;
#pragma unroll
      for (int w = 0; w < 4; ++w)
        pairs.words[w] = round_pair<T>(results.at[i + 2 * w] * normalisers[w % 2],
                                       results.at[i + 2 * w + 1] * normalisers[w % 2]);
      const int unit = i / 8 * 2, panel = unit / 8;
      store_matrices((address ^ unit % 8 * 16) + panel * (Policy::consumer_queries * 128), pairs);
    }
    publish_shared_writes();
    named_barrier_wait(1 + consumer_, Policy::warpgroup);
    if (thread() == 0) {
      for (int panel = 0; panel < Policy::panels; ++panel)
        store_box(params_.out, {panel * Policy::panel_elements, at.first_query, at.head, at.batch},
                  tile[panel]);
      store_commit();
    }
    stored_stage_ = query_stage;
  }

  __device__ void store_partial(const AttentionWork& at, const RowSoftmax<T>& softmax,
                                const Accumulator<Policy::dim>& results) {
#pragma unroll  // registers have no addresses
    for (int half = 0; half < 2; ++half) {
      const int query = at.first_query + AccumulatorRows::first_row(thread()) + 8 * half;
      if (query >= params_.query_tokens) continue;
      float* const row = params_.out.view.row(at.batch, query, at.head);
      const float normaliser = softmax.normaliser(half);
#pragma unroll
      for (int i = 2 * half; i < results.size; i += 4)
        params_.out.store(row, AccumulatorRows::first_column(thread()) + AccumulatorRows::column_of(i),
                          results.at[i] * normaliser, results.at[i + 1] * normaliser);
    }
  }

  __device__ int thread() const {
    return static_cast<int>(threadIdx.x) % Policy::warpgroup;
  }
  __device__ int lane() const {
    return static_cast<int>(threadIdx.x) % 32;
  }

  __device__ void store_log_sum_exp(const AttentionWork& at, const RowSoftmax<T>& softmax) {
    if (params_.log_sum_exp.data == nullptr || lane() % 4 != 0) return;
    for (int i = 0; i < 2; ++i) {
      const int query = at.first_query + AccumulatorRows::first_row(thread()) + 8 * i;
      if (query < params_.query_tokens)
        *params_.log_sum_exp.row(at.batch, query, at.head) = softmax.log_sum_exp(i);
    }
  }

  const Params& params_;
  Shared& shared_;
  int consumer_;
  int stored_stage_ = -1;
};

}  // namespace stepvideo
