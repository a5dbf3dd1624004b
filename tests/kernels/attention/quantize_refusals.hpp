// What the quantising kernels refuse, on any execution: nothing is read.
#pragma once
#include <stepvideo/kernels/attention/quantize_attention.hpp>

#include "support/random_input.hpp"
#include "support/refused.hpp"

namespace stepvideo::testing {

template <Execution E>
void views_that_do_not_fit_are_not_quantised(E execution) {
  constexpr index_t dim = 24;
  const Buffer<bf16> memory(20000);
  const Buffer<fp8_e4m3> codes(20000);
  const Buffer<float> floats(2000);
  const Buffer<index_t> three(3);
  const auto in = HeadsView<const bf16>::dense(memory.data(), 1, 30, 2, dim);
  auto nothing = in;
  nothing.data = nullptr;
  const auto heads = [&](index_t tokens, float* scales) {
    return QuantizedHeads<fp8_e4m3>::head_major(codes.data(), scales, 1, tokens, 2, dim);
  };
  const auto quantize = [&](auto from, const QuantizeOptions& options, const QuantizedHeads<fp8_e4m3>& out) {
    return [=] { quantize_heads<bf16>(execution, from, {}, options, out); };
  };
  const QuantizeOptions plain{.rotate = false};
  check_refused(quantize(in, plain, heads(31, floats.data())), "out (1, 31, 2, 24)");
  check_refused(quantize(in, {}, heads(30, floats.data())), "24 channels cannot be rotated");
  check_refused(quantize(in, {.rotate = false, .lengths = three.vector()}, heads(30, floats.data())),
                "3 lengths for a batch of 1");
  check_refused(quantize(in, {.rotate = false, .lengths = {nullptr, 1}}, heads(30, floats.data())),
                "1 lengths without data");
  check_refused(quantize(nothing, plain, heads(30, floats.data())), "in are (1, 30, 2, 24) and have no data");
  check_refused(quantize(in, plain, heads(30, nullptr)), "the scales are (1, 1, 2, 1) and have no data");

  const auto values = [&](index_t tokens, float* means) {
    return QuantizedValues<fp8_e4m3>::head_major(codes.data(), floats.data(), means, 1, tokens, 2, dim);
  };
  const auto turn = [&](auto from, const QuantizeOptions& options, const QuantizedValues<fp8_e4m3>& out) {
    return [=] { quantize_values<bf16>(execution, from, options, out, {}); };
  };
  check_refused(turn(in, {}, values(200, floats.data())), "they need (1, 24, 2, 128)");
  check_refused(turn(in, {.lengths = three.vector()}, values(30, floats.data())),
                "3 lengths for a batch of 1");
  check_refused(turn(nothing, {}, values(30, floats.data())), "in are (1, 30, 2, 24) and have no data");
  check_refused(turn(in, {}, values(30, nullptr)), "the means are (1, 1, 2, 24) and have no data");

  const auto average = [&](auto from, const QuantizeOptions& options, index_t means_of, float* means) {
    return [=] {
      mean_of_heads<bf16>(execution, from, options, HeadsView<float>::dense(means, 1, 1, means_of, dim), {});
    };
  };
  check_refused(average(in, {}, 1, floats.data()), "in is (1, 30, 2, 24) and means are (1, 1, 1, 24)");
  check_refused(average(in, {.lengths = three.vector()}, 2, floats.data()), "3 lengths for a batch of 1");
  check_refused(average(nothing, {}, 2, floats.data()), "in are (1, 30, 2, 24) and have no data");
  check_refused(average(in, {}, 2, nullptr), "means are (1, 1, 2, 24) and have no data");
}

}  // namespace stepvideo::testing
