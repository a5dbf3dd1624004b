#define BOOST_TEST_MODULE fp8_quantize
#include "kernels/attention/fp8_quantize_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(heads_read_back_as_what_they_were) {
  testing::quantized_heads_read_back_as_what_they_were<bf16>(host);
}

BOOST_AUTO_TEST_CASE(values_read_back_as_what_they_were) {
  testing::quantized_values_read_back_as_what_they_were<fp16>(host);
}

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  const Buffer<bf16> memory(20000);
  const Buffer<fp8_e4m3> codes(20000);
  const Buffer<float> floats(2000);
  const auto in = HeadsView<const bf16>::dense(memory.data(), 1, 30, 2, 24);
  const auto refused = [](auto&& call, const char* text) {
    BOOST_CHECK_EXCEPTION(call(), RequestError, [&](const RequestError& error) {
      return std::string(error.what()).find(text) != std::string::npos;
    });
  };
  const auto heads = [&](index_t tokens, index_t dim) {
    return QuantizedHeads<fp8_e4m3>::head_major(codes.data(), floats.data(), 1, tokens, 2, dim);
  };
  refused([&] { quantize_heads<bf16>(host, in, {}, {.rotate = false}, heads(31, 24)); },
          "out (1, 31, 2, 24)");
  refused([&] { quantize_heads<bf16>(host, in, {}, {}, heads(30, 24)); }, "24 channels cannot be rotated");
  const auto values = [&](index_t tokens, index_t dim) {
    return QuantizedValues<fp8_e4m3>::head_major(codes.data(), floats.data(), floats.data(), 1, tokens, 2,
                                                 dim);
  };
  refused([&] { quantize_values<bf16>(host, in, {}, values(200, 24)); }, "they need (1, 24, 2, 128)");
  const Buffer<index_t> lengths(3);
  refused([&] { quantize_values<bf16>(host, in, {.lengths = lengths.vector()}, values(30, 24)); },
          "3 lengths for a batch of 1");
}
