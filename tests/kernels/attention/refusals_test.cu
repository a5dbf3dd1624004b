// What the device's attention kernels refuse before they ask for a GPU: these cases run on machines without
// one.
#define BOOST_TEST_MODULE attention_refusals_device
#include <stepvideo/kernels/attention/attention.cuh>
#include <stepvideo/kernels/attention/fp8_attention.cuh>
#include <stepvideo/kernels/attention/merge.cuh>

#include "kernels/attention/attention_cases.hpp"
#include "kernels/attention/quantize_refusals.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using testing::check_refused;

namespace {

const Buffer<bf16> elements(1 << 16);
const Buffer<float> floats(1 << 16);
const Buffer<fp8_e4m3> codes(1 << 16);

HeadsView<bf16> view(index_t batch, index_t tokens, index_t heads, index_t dim) {
  return HeadsView<bf16>::dense(elements.data(), batch, tokens, heads, dim);
}

}  // namespace

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_attention_are_refused_by_name) {
  testing::views_that_do_not_fit_are_refused_by_name<bf16>(
      [](auto... arguments) { attention(device, arguments...); });
  testing::views_that_do_not_fit_are_refused_by_name<bf16>(
      [](auto... arguments) { warp_attention(device, arguments...); });
  testing::views_that_do_not_fit_are_refused_by_name<bf16>(
      [](auto... arguments) { attention_path(device, arguments...); });
}

BOOST_AUTO_TEST_CASE(heads_that_are_not_built_and_work_beyond_int_are_refused) {
  const auto attend = [](auto queries, auto keys) {
    return [=] { attention(device, queries, keys, keys, FullMask{}, queries, {}); };
  };
  const auto odd = view(1, 1, 1, 96), wide = view(1, 1, 1, (1 << 20) + 1);
  check_refused([=] { warp_attention(device, odd, odd, odd, FullMask{}, odd, {}); },
                "warp_attention: heads have 96 channels; 64 and 128 are built, attention() takes any");
  check_refused(attend(wide, wide), "1048577 channels is wider");
  check_refused(attend(view(1, index_t{1} << 31, 1, 64), view(1, 1, 1, 64)),
                "the device attends to up to 1073741823");
  check_refused(attend(view(1, 1, 1, 64), view(1, index_t{1} << 31, 1, 64)), "2147483648 keys");
  check_refused(attend(view(1 << 20, 4096, 48, 64), view(1 << 20, 4096, 48, 64)), "a smaller batch works");
}

BOOST_AUTO_TEST_CASE(nothing_to_attend_with_asks_for_no_gpu) {
  for (const auto& nobody : {view(0, 4, 2, 128), view(1, 0, 2, 128)}) {
    const auto keys = view(nobody.batch, 3, 2, 128);
    attention(device, nobody, keys, keys, FullMask{}, nobody, {});
    warp_attention(device, nobody, keys, keys, FullMask{}, nobody, {});
  }
}

BOOST_AUTO_TEST_CASE(results_that_do_not_fit_are_not_merged) {
  const auto sums = [](index_t tokens, float* data = floats.data()) {
    return HeadsView<float>::dense(data, 1, tokens, 2, 1);
  };
  const auto merge = [](auto other, auto other_sums, auto into, auto into_sums) {
    return [=] { merge_attention(device, other, other_sums, into, into_sums); };
  };
  const auto three = view(1, 3, 2, 64);
  const char* shapes = "both results must be (batch, tokens, heads, dim)";
  check_refused(merge(view(1, 4, 2, 64), sums(3), three, sums(3)), shapes);
  check_refused(merge(view(1, 3, 2, 128), sums(3), three, sums(3)), shapes);
  check_refused(merge(three, sums(4), three, sums(3)), shapes);
  check_refused(merge(three, sums(3), three, sums(4)), shapes);
  const auto nowhere = HeadsView<bf16>::dense(nullptr, 1, 3, 2, 64);
  check_refused(merge(nowhere, sums(3), three, sums(3)),
                "the result to merge are (1, 3, 2, 64) and have no data");
  check_refused(merge(three, sums(3), nowhere, sums(3)), "the result to merge into");
  check_refused(merge(three, sums(3, nullptr), three, sums(3)), "the log_sum_exp of the result to merge");
  check_refused(merge(three, sums(3), three, sums(3, nullptr)),
                "the log_sum_exp of the result to merge into");
  merge_attention(device, view(0, 3, 2, 64), HeadsView<float>{.tokens = 3, .heads = 2, .dim = 1},
                  view(0, 3, 2, 64), HeadsView<float>{.tokens = 3, .heads = 2, .dim = 1});
}

BOOST_AUTO_TEST_CASE(operands_that_do_not_fit_are_not_quantised) {
  testing::views_that_do_not_fit_are_not_quantised(device);
  const auto wide = view(1, index_t{65'536} * 128, 1, 128);
  const auto quantized =
      QuantizedHeads<fp8_e4m3>::head_major(codes.data(), floats.data(), 1, wide.tokens, 1, 128);
  check_refused([&] { quantize_heads<bf16>(device, wide, {}, {}, quantized); }, "8388480 tokens");
}

BOOST_AUTO_TEST_CASE(operands_that_do_not_fit_fp8_attention_are_refused_by_name) {
  const auto heads = [](index_t tokens, index_t dim) {
    return QuantizedHeads<const fp8_e4m3>(
        QuantizedHeads<fp8_e4m3>::head_major(codes.data(), floats.data(), 1, tokens, 2, dim));
  };
  const auto values = [](index_t tokens, index_t dim) {
    return QuantizedValues<const fp8_e4m3>(
        QuantizedValues<fp8_e4m3>::head_major(codes.data(), floats.data(), floats.data(), 1, tokens, 2, dim));
  };
  const auto attend = [](auto q, auto k, auto v, index_t dim, AttentionOptions options = {}) {
    return [=] { fp8_attention(device, q, k, v, FullMask{}, view(1, 5, 2, dim), options); };
  };
  check_refused(attend(heads(5, 72), heads(9, 72), values(9, 72), 72),
                "fp8_attention: heads have 72 channels; on the device multiples of 16 up to 128 are built");
  check_refused(attend(heads(5, 144), heads(9, 144), values(9, 144), 144),
                "fp8_attention: heads have 144 channels; on the device multiples of 16 up to 128 are built");
  check_refused(attend(heads(5, 128), heads(9, 128), values(9, 128), 128, {.scale = 0.0f}),
                "the scale is 0.000000; on the device it must be positive");
  auto shifted = heads(9, 128);
  shifted.values.data += 3;
  check_refused(attend(heads(5, 128), shifted, values(9, 128), 128),
                "keys start 3 bytes past a multiple of 16");
  auto nowhere = values(9, 128);
  nowhere.means.data = nullptr;
  check_refused(attend(heads(5, 128), heads(9, 128), nowhere, 128),
                "the values' means are (1, 1, 2, 128) and have no data");
  // From bf16, where the quantisation refuses first.
  const auto narrow = view(1, 4, 1, 32);
  const Buffer<std::byte> memory(1 << 16);
  check_refused(
      [&] {
        fp8_attention<bf16>(device, narrow, narrow, narrow, FullMask{}, narrow, {}, {},
                            Workspace(memory.data(), 1 << 16));
      },
      "head dimension 32 is not built; built are 64, 128");
}
