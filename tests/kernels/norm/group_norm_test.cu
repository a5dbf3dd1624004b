#define BOOST_TEST_MODULE group_norm_device
#include <stepvideo/kernels/norm/group_norm.cuh>

#include "kernels/norm/group_norm_cases.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_formula) {
  testing::group_norm_agrees_with_its_oracle<float>(device);
  testing::group_norm_agrees_with_its_oracle<bf16>(device);
}
BOOST_AUTO_TEST_CASE(large_videos) {
  testing::large_videos_agree_with_the_oracle<float>(device);
  testing::large_videos_agree_with_the_oracle<bf16>(device);
}
BOOST_AUTO_TEST_CASE(misaligned_videos) {
  testing::large_videos_agree_with_the_oracle<bf16>(device, 1);
}
BOOST_AUTO_TEST_CASE(on_a_stream_of_its_own) {
  const testing::OwnStream stream;
  testing::group_norm_agrees_with_its_oracle<bf16>(Device(stream), 10);
}
BOOST_AUTO_TEST_CASE(inside_a_graph) {
  testing::group_norm_agrees_with_its_oracle<bf16>(testing::InGraph(), 10);
}
BOOST_AUTO_TEST_CASE(a_mean_far_from_zero) {
  testing::a_mean_far_from_zero_costs_no_digits(device);
}

BOOST_AUTO_TEST_CASE(float_in_and_an_epilogue_that_reads_another_video) {
  std::mt19937 engine(17);
  const testing::VideoShape shape{2, 31, 23, 64};
  const testing::GroupNormCase<float, Device> one(device, engine, shape, 32);
  const auto skip = testing::random_normal<float>(shape.size(), engine);
  const auto device_skip = testing::to_device(skip);
  const Residual<float> add{MatrixView<float>::dense(device_skip.data(), 2 * 31 * 23, 64)};
  auto expected = one.expected().mapped(oracle::silu, testing::steepest_silu);
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double skipped = skip[static_cast<index_t>(i)];
    expected.values[i] += skipped, expected.summed[i] += std::abs(skipped);
  }
  testing::check_each<bf16>(one.result<bf16>(chain(Activate<Silu>{}, add)), expected,
                            testing::group_norm_budget);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(18);
  const testing::GroupNormCase<bf16, Device> one(device, engine, {2, 60, 70, 128}, 32);
  const auto first = one.result(Activate<Silu>{});
  for (int run = 1; run < 50; ++run) BOOST_REQUIRE(testing::same_bits(one.result(Activate<Silu>{}), first));
}

BOOST_AUTO_TEST_CASE(a_small_workspace_is_refused) {
  const Buffer<float, Device> values(device, 64);
  const VideoView<float> view{values.data(), 1, 1, 8, 8};
  BOOST_CHECK_THROW(group_norm(device, view, VectorView<float>{values.data(), 8},
                               VectorView<float>{values.data(), 8}, 4, 1e-5f, Store{}, view, Workspace{}),
                    RequestError);
}
