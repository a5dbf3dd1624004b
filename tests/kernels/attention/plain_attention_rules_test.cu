// What plain_attention refuses, and what it leaves alone, before it asks CUDA for anything: no GPU is needed.
#define BOOST_TEST_MODULE plain_attention_rules_device
#include <limits>
#include <string>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/attention/plain_attention.cuh>

#include "kernels/attention/attention_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::views_that_do_not_fit_are_refused_by_name<float>(
      [](auto... arguments) { plain_attention(device, arguments...); });
}

BOOST_AUTO_TEST_CASE(sizes_that_blocks_cannot_count_are_refused) {
  const auto refused = [](index_t batch, index_t tokens, index_t heads, index_t dim, const char* text) {
    const auto view = HeadsView<float>::dense(nullptr, batch, tokens, heads, dim);
    BOOST_CHECK_EXCEPTION(plain_attention(device, view, view, view, FullMask{}, view, {}), RequestError,
                          [&](const RequestError& error) {
                            BOOST_TEST_MESSAGE(error.what());
                            return std::string(error.what()).find(text) != std::string::npos;
                          });
  };
  refused(1, 1, 1, (1 << 20) + 1, "1048577 channels is wider");
  refused(index_t{1} << 31, 1, 1, 1, "tiles of 64 tokens");
  refused(1 << 20, 129, 1 << 10, 1, "tiles of 64 tokens");
  refused(1, std::numeric_limits<int>::max(), 1, 1, "the device attends to up to");
}

BOOST_AUTO_TEST_CASE(nothing_to_do_is_done_without_a_gpu) {
  const auto none = [](index_t batch, index_t tokens) {
    static float memory[1];  // keys that nobody reads
    const auto queries = HeadsView<float>::dense(nullptr, batch, tokens, 2, 16);
    const auto keys = HeadsView<float>::dense(memory, batch, 7, 2, 16);
    plain_attention(device, queries, keys, keys, CausalMask{}, queries, {});
  };
  BOOST_CHECK_NO_THROW(none(0, 5));
  BOOST_CHECK_NO_THROW(none(3, 0));
}
