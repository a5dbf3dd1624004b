#define BOOST_TEST_MODULE sampler
#include <fstream>
#include <tuple>

#include <nlohmann/json.hpp>
#include <omp.h>

#include <stepvideo/kernels/sampler/flow_schedule.hpp>
#include <stepvideo/kernels/sampler/noise.hpp>

#include "kernels/sampler/sampler_cases.hpp"

using namespace stepvideo;

using Elements = std::tuple<float, bf16, fp16>;

BOOST_AUTO_TEST_CASE(sigmas_equal_those_of_the_release) {
  const auto cases = nlohmann::json::parse(std::ifstream(STEPVIDEO_TEST_DATA "/golden/scheduler.json"));
  BOOST_REQUIRE_EQUAL(cases.size(), 4u);
  const float rounding = 1.3e-7f;  // two float32 roundings of a number near one
  for (const auto& golden : cases) {
    const int steps = golden.at("num_inference_steps");
    const FlowSchedule schedule(steps, golden.at("time_shift").get<float>());
    BOOST_REQUIRE_EQUAL(golden.at("sigmas").size(), static_cast<std::size_t>(steps) + 1);
    for (int i = 0; i <= steps; ++i)
      BOOST_CHECK_SMALL(schedule.sigma(i) - golden.at("sigmas")[i].get<float>(), rounding);
    for (int i = 0; i < steps; ++i)
      BOOST_CHECK_SMALL(schedule.time(i) - golden.at("timesteps")[i].get<float>(), rounding);
  }
}

BOOST_AUTO_TEST_CASE(sigma_runs_from_exactly_zero_to_exactly_one) {
  for (int steps : {1, 2, 7, 50}) {
    const FlowSchedule schedule(steps, 13.0f);
    BOOST_CHECK_EQUAL(schedule.sigma(0), 0.0f);
    BOOST_CHECK_EQUAL(schedule.sigma(steps), 1.0f);
    for (int i = 0; i < steps; ++i) BOOST_CHECK_GT(schedule.step_size(i), 0.0f);
  }
}

BOOST_AUTO_TEST_CASE(zero_steps_are_refused) {
  BOOST_CHECK_THROW(FlowSchedule(0, 13.0f), RequestError);
  BOOST_CHECK_THROW(FlowSchedule(10, 0.0f), RequestError);
}

BOOST_AUTO_TEST_CASE(a_guided_step_follows_its_formula) {
  testing::a_guided_step_follows_its_formula(host);
}
BOOST_AUTO_TEST_CASE(velocities_that_do_not_fit_are_refused_by_name) {
  testing::guided_step_refuses_by_name(host);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(nan_and_infinities_are_counted, T, Elements) {
  testing::nan_and_infinities_are_counted<T>(host);
}

BOOST_AUTO_TEST_CASE(noise_is_unit_normal) {
  Buffer<float> noise(1 << 20);
  fill_unit_normal(host, 42, 0, noise.vector());
  double sum = 0, squares = 0, fourth = 0, neighbours = 0;
  for (index_t i = 0; i < noise.size(); ++i) {
    const double x = noise[i];
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
    if (i > 0) neighbours += x * noise[i - 1];
  }
  const double n = static_cast<double>(noise.size());
  BOOST_CHECK_SMALL(sum / n, 5 / std::sqrt(n));
  BOOST_CHECK_SMALL(squares / n - 1, 5 * std::sqrt(2 / n));
  BOOST_CHECK_SMALL(fourth / n - 3, 5 * std::sqrt(96 / n));
  BOOST_CHECK_SMALL(neighbours / n, 5 / std::sqrt(n));
}

BOOST_AUTO_TEST_CASE(noise_depends_on_seed_and_element_only) {
  Buffer<float> whole(1000), part(300), other_seed(1000);
  omp_set_num_threads(1);
  fill_unit_normal(host, 7, 0, whole.vector());
  omp_set_num_threads(3);
  fill_unit_normal(host, 7, 500, part.vector());
  fill_unit_normal(host, 8, 0, other_seed.vector());
  int same = 0;
  for (int i = 0; i < 300; ++i) BOOST_CHECK_EQUAL(part[i], whole[500 + i]);
  for (int i = 0; i < 1000; ++i) same += other_seed[i] == whole[i];
  BOOST_CHECK_LT(same, 3);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(noise_for_weights_is_rounded_once, T, Elements) {
  const index_t size = 4097;
  const float scale = 1 / std::sqrt(6144.0f);
  Buffer<float> noise(size);
  const auto weights = testing::poisoned<T>(size);
  fill_unit_normal(host, 9, 1'000'000'007, noise.vector());
  fill_normal(host, 9, 1'000'000'007, scale, weights.vector());
  for (index_t i = 0; i < size; ++i) BOOST_REQUIRE_EQUAL(float(weights[i]), float(T(scale * noise[i])));
}
