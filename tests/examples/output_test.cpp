// What the programs in examples/ print, against the same numbers from the oracles, in double.
#define BOOST_TEST_MODULE examples
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

#include <stepvideo/core/element.hpp>
#include <stepvideo/core/view.hpp>

#include "oracle/attention.hpp"
#include "oracle/conv.hpp"
#include "support/compare.hpp"

using namespace stepvideo;

namespace {

struct Printed {
  int exit_code;
  std::string text;
};

Printed run_example(const std::string& name) {
  FILE* pipe = popen(("'" STEPVIDEO_EXAMPLES "/example_" + name + "' </dev/null").c_str(), "r");
  BOOST_REQUIRE(pipe != nullptr);
  std::string text;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
  const int status = pclose(pipe);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text};
}

/// The numbers with a decimal point.
std::vector<double> fractions(const std::string& text) {
  const std::regex fraction(R"(-?\d+\.\d+)");
  std::vector<double> result;
  for (std::sregex_iterator at(text.begin(), text.end(), fraction), end; at != end; ++at)
    result.push_back(std::stod(at->str()));
  return result;
}

std::vector<double> fractions_of_example(const std::string& name) {
  const Printed printed = run_example(name);
  BOOST_REQUIRE_EQUAL(printed.exit_code, 0);
  return fractions(printed.text);
}

std::vector<float> filled(index_t size, float (*value)(float)) {
  std::vector<float> result(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = value(static_cast<float>(i));
  return result;
}

const auto no_bias = [](index_t, index_t, index_t) { return 0.0; };

/// The four numbers that both attention examples print, of inputs in T.
template <class T>
std::vector<double> last_row_of_packed_attention() {
  constexpr index_t tokens = 100, heads = 4, dim = 64, size = tokens * heads * dim;
  std::array<std::vector<T>, 3> parts;
  for (index_t token = 0; token < tokens; ++token)
    for (index_t i = 0; i < 3 * heads * dim; ++i)
      parts[i / (heads * dim)].push_back(
          T(std::sin(0.37f * static_cast<float>(token * 3 * heads * dim + i))));
  const auto view = [](const std::vector<T>& part) {
    return HeadsView<const T>::dense(part.data(), 1, tokens, heads, dim);
  };
  const auto sees_all = [](index_t, index_t, index_t) { return true; };
  const auto out =
      oracle::attention<T>(view(parts[0]), view(parts[1]), view(parts[2]), 0.125, sees_all, no_bias).out;
  return {out.begin() + (size - dim), out.begin() + (size - dim + 4)};
}

}  // namespace

BOOST_AUTO_TEST_CASE(attention_on_views) {
  const auto printed = fractions_of_example("attention"), expected = last_row_of_packed_attention<float>();
  STEPVIDEO_CHECK_CLOSE(printed, expected, 1e-5);
}

// A test of its own, examples/output_device, because it may be skipped.
BOOST_AUTO_TEST_CASE(attention_on_a_gpu, *boost::unit_test::disabled()) {
  const Printed printed = run_example("attention_device");
  if (printed.exit_code == 77) {
    std::fputs(printed.text.c_str(), stdout);
    std::fflush(stdout);
    std::_Exit(77);
  }
  BOOST_REQUIRE_EQUAL(printed.exit_code, 0);
  STEPVIDEO_CHECK_CLOSE(fractions(printed.text), last_row_of_packed_attention<bf16>(), 1e-2);
}

BOOST_AUTO_TEST_CASE(engine_on_a_gpu, *boost::unit_test::disabled()) {
  const std::vector<double> printed = fractions_of_example("engine_device");
  BOOST_REQUIRE_EQUAL(printed.size(), 4u);
  STEPVIDEO_CHECK_CLOSE((std::vector<double>{printed[0], printed[1]}),
                        (std::vector<double>{printed[2], printed[3]}), 1e-2);
}

BOOST_AUTO_TEST_CASE(a_causal_convolution_and_its_blindness_to_later_frames) {
  const auto input = filled(4 * 6 * 7 * 5, [](float i) { return std::cos(0.3f * i); });
  const auto weight = filled(8 * 5 * 27, [](float i) { return std::sin(0.7f * i); });
  const auto bias = filled(8, [](float i) { return i; });
  const oracle::Video video(VideoView<const float>{input.data(), 4, 6, 7, 5});
  auto out = oracle::convolve(pad(video, {2, 0}, {1, 1}, {1, 1}), weight, bias, 8, {3, 3, 3}, {1, 1, 1});
  std::vector<double> expected;
  for (int line = 0; line < 2; ++line)
    for (int channel = 0; channel < 4; ++channel) expected.push_back(out.at(2, 3, 4, channel));
  STEPVIDEO_CHECK_CLOSE(fractions_of_example("causal_conv3d"), expected, 1e-5);
}

BOOST_AUTO_TEST_CASE(a_custom_mask) {
  constexpr index_t tokens = 60, heads = 2, dim = 32;
  const auto queries = filled(tokens * heads * dim, [](float i) { return std::sin(0.37f * i); });
  const auto keys = filled(tokens * heads * dim, [](float i) { return std::cos(0.11f * i); });
  const auto values = filled(tokens * heads * dim, [](float i) { return std::sin(0.23f * i); });
  const auto view = [](const std::vector<float>& data) {
    return HeadsView<const float>::dense(data.data(), 1, tokens, heads, dim);
  };
  const auto same_frame_or_earlier = [](index_t, index_t query, index_t key) {
    return key / 12 <= query / 12;
  };
  const auto out = oracle::attention<float>(view(queries), view(keys), view(values), 1 / std::sqrt(32.0),
                                            same_frame_or_earlier, no_bias)
                       .out;
  std::vector<double> expected;
  for (const index_t token : {0, 11, 12, 59})
    for (index_t channel = 0; channel < 2; ++channel)
      expected.push_back(out[static_cast<std::size_t>((token * heads + 1) * dim + channel)]);
  STEPVIDEO_CHECK_CLOSE(fractions_of_example("custom_mask"), expected, 1e-4);
}

BOOST_AUTO_TEST_CASE(a_topology_that_divides_the_heads) {
  const Printed printed = run_example("topology");
  BOOST_REQUIRE_EQUAL(printed.exit_code, 0);
  // 48 heads over 4 ulysses ranks are 12 each, the same for both halves of the guided pair.
  std::string expected;
  for (int rank = 0; rank < 8; ++rank)
    expected += "rank " + std::to_string(rank) + ": guidance " + std::to_string(rank / 4) + ", heads " +
                std::to_string(12 * (rank % 4)) + " to " + std::to_string(12 * (rank % 4) + 11) + "\n";
  BOOST_CHECK_EQUAL(printed.text, expected);
}
