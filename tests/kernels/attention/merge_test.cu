#define BOOST_TEST_MODULE merge_attention_device
#include <tuple>

#include <stepvideo/kernels/attention/merge.cuh>

#include "kernels/attention/merge_cases.hpp"
#include "kernels/attention/on_device.cuh"
#include "support/place.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// The parts come from the host's attention: this test is the merging's alone.
const auto on_host = [](const auto& p, const auto& mask) {
  attention(host, p.queries.view, p.keys.view, p.values.view, mask, p.out.view,
            {.scale = p.scale, .log_sum_exp = p.log_sum_exp.view});
};

const auto merge_on_device = [](const auto& other, const auto& into) {
  const testing::CarriedHeads from(other.out), to(into.out);
  const testing::CarriedHeads from_sums(other.log_sum_exp), to_sums(into.log_sum_exp);
  merge_attention(device, from.view, from_sums.view, to.view, to_sums.view);
  to.bring_back(into.out);
  to_sums.bring_back(into.log_sum_exp);
};

using Elements = std::tuple<float, bf16>;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(parts_of_the_keys_merge_into_the_whole, T, Elements) {
  testing::parts_of_the_keys_merge_into_the_whole<T>(on_host, merge_on_device,
                                                     {.dims = {8, 20, 64, 72, 128, 256}});
}

namespace {

/// Two parts of the keys, attended to on the host, and their copies on the device.
struct Parts {
  testing::AttentionProblem<bf16> whole, into, other;
  testing::CarriedHeads<bf16> there_into, there_other;
  testing::CarriedHeads<float> there_into_sums, there_other_sums;

  Parts(std::mt19937& engine, const testing::AttentionExtents& extents)
      : whole(engine, extents),
        into(attended(testing::with_keys(whole, engine, 0, extents.keys / 2))),
        other(attended(testing::with_keys(whole, engine, extents.keys / 2, extents.keys))),
        there_into(into.out),
        there_other(other.out),
        there_into_sums(into.log_sum_exp),
        there_other_sums(other.log_sum_exp) {}
  static testing::AttentionProblem<bf16> attended(testing::AttentionProblem<bf16> problem) {
    on_host(problem, FullMask{});
    return problem;
  }
  void merge(Device stream) const {
    merge_attention(stream, there_other.view, there_other_sums.view, there_into.view, there_into_sums.view);
  }
  /// Fails unless the merged result is that of all keys.
  void judge() {
    there_into.bring_back(into.out), there_into_sums.bring_back(into.log_sum_exp);
    testing::ErrorBudget<bf16> budget;
    budget.judge(testing::with_results(whole, into), testing::sees_all, testing::no_bias, 2);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_batch_may_be_larger_than_a_grid_is_wide) {
  std::mt19937 engine(83);
  Parts parts(engine, {.batch = 70'000, .queries = 1, .keys = 4, .heads = 2, .groups = 1, .dim = 16});
  parts.merge(device);
  parts.judge();
}

BOOST_AUTO_TEST_CASE(streams_and_graphs_take_the_call) {
  std::mt19937 engine(89);
  const auto judge_on = [&](const auto& place) {
    Parts parts(engine, {.queries = 100, .keys = 90, .heads = 3, .groups = 3, .dim = 64});
    synchronize(device);
    testing::run(place, [&](Device stream) { parts.merge(stream); });
    check(cudaDeviceSynchronize());
    parts.judge();
  };
  const testing::OwnStream stream;
  judge_on(Device(stream));
  judge_on(testing::InGraph{});
}
