#define BOOST_TEST_MODULE group_norm
#include <omp.h>

#include "kernels/norm/group_norm_cases.hpp"

using namespace stepvideo;

namespace {

using testing::video;

}  // namespace

BOOST_AUTO_TEST_CASE(every_element_agrees_with_the_formula) {
  testing::group_norm_agrees_with_its_oracle<float>(host);
  testing::group_norm_agrees_with_its_oracle<bf16>(host);
}
BOOST_AUTO_TEST_CASE(large_videos) {
  testing::large_videos_agree_with_the_oracle<float>(host);
  testing::large_videos_agree_with_the_oracle<bf16>(host);
}
BOOST_AUTO_TEST_CASE(a_mean_far_from_zero) {
  testing::a_mean_far_from_zero_costs_no_digits(host);
}
BOOST_AUTO_TEST_CASE(empty_videos) {
  testing::group_norm_of_an_empty_video(host);
}
BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::group_norm_refuses_by_name(host);
}

BOOST_AUTO_TEST_CASE(frames_do_not_see_one_another) {
  std::mt19937 engine(13);
  const index_t frame = 7 * 5 * 64;
  const auto in = testing::random_normal<float>(3 * frame, engine);
  const auto weight = testing::random_normal<float>(64, engine),
             bias = testing::random_normal<float>(64, engine);
  auto together = testing::poisoned<float>(3 * frame), alone = testing::poisoned<float>(frame);
  const auto view = video(in, 3, 7, 5, 64);
  group_norm(host, view, weight.vector(), bias.vector(), 32, 1e-5f, Activate<Silu>{},
             video(together, 3, 7, 5, 64));
  group_norm(host, view.frames_from(1, 1), weight.vector(), bias.vector(), 32, 1e-5f, Activate<Silu>{},
             video(alone, 1, 7, 5, 64));
  BOOST_CHECK(std::equal(alone.begin(), alone.end(), together.begin() + frame));
}

BOOST_AUTO_TEST_CASE(an_epilogue_chain_reads_other_videos) {
  std::mt19937 engine(14);
  const index_t size = 2 * 6 * 6 * 32;
  const auto in = testing::random_normal<float>(size, engine),
             skip = testing::random_normal<float>(size, engine);
  const auto weight = testing::random_normal<float>(32, engine),
             bias = testing::random_normal<float>(32, engine);
  auto out = testing::poisoned<float>(size);
  const Residual<float> add{video(skip, 2, 6, 6, 32).rows()};
  group_norm(host, video(in, 2, 6, 6, 32), weight.vector(), bias.vector(), 32, 1e-5f,
             chain(add, Activate<Silu>{}, add), video(out, 2, 6, 6, 32));
  auto expected = oracle::group_norm<float>(video(in, 2, 6, 6, 32), weight, bias, 32, 1e-5);
  for (index_t i = 0; i < size; ++i) expected.values[i] += skip[i], expected.summed[i] += std::abs(skip[i]);
  expected = expected.mapped(oracle::silu, testing::steepest_silu);
  for (index_t i = 0; i < size; ++i) expected.values[i] += skip[i], expected.summed[i] += std::abs(skip[i]);
  testing::check_each<float>(out, expected, testing::group_norm_budget);
}

BOOST_AUTO_TEST_CASE(results_do_not_depend_on_the_number_of_threads) {
  std::mt19937 engine(15);
  // Frames that a thread has to itself, and frames that the threads share.
  for (const auto& [height, width] : {std::array<index_t, 2>{33, 41}, {80, 120}}) {
    const index_t size = 3 * height * width * 96;
    const auto in = testing::random_normal<float>(size, engine);
    const auto weight = testing::random_normal<float>(96, engine),
               bias = testing::random_normal<float>(96, engine);
    std::vector<Buffer<float>> results;
    for (int threads : {1, 2, 5}) {
      omp_set_num_threads(threads);
      results.push_back(testing::poisoned<float>(size));
      group_norm(host, video(in, 3, height, width, 96), weight.vector(), bias.vector(), 32, 1e-5f,
                 Activate<Silu>{}, video(results.back(), 3, height, width, 96));
      BOOST_CHECK(std::equal(results.back().begin(), results.back().end(), results.front().begin()));
    }
    const auto expected = oracle::group_norm<float>(video(in, 3, height, width, 96), weight, bias, 32, 1e-5);
    testing::check_each<float>(results.front(), expected.mapped(oracle::silu, testing::steepest_silu),
                               testing::group_norm_budget);
  }
}
