#define BOOST_TEST_MODULE attention_path
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/attention/attention_path.hpp>
#include <stepvideo/kernels/attention/fp8_attention.hpp>
#include <stepvideo/kernels/attention/merge.hpp>

using namespace stepvideo;

namespace {

constexpr KernelGpu hopper{.compute_capability = 90, .has_code_for_warpgroups = true};

alignas(16) bf16 memory[16];

/// Views as attention takes them; no element is touched.
struct Call {
  HeadsView<const bf16> queries, keys, values;
  HeadsView<bf16> out;
  AttentionOptions options{};

  explicit Call(index_t dim = 128, index_t key_tokens = 9) {
    out = HeadsView<bf16>::dense(memory, 2, 5, 3, dim);
    queries = out;
    keys = values = HeadsView<bf16>::dense(memory, 2, key_tokens, 3, dim);
  }
  AttentionPath path(const KernelGpu& gpu = hopper) const {
    return attention_path<bf16>(gpu, queries, keys, values, out, options);
  }
};

void require_path(const AttentionPath& path, AttentionKernel kernel, const std::string& text) {
  BOOST_CHECK(path.kernel == kernel);
  BOOST_CHECK_EQUAL(to_string(path), text);
}

template <class Call>
void require_refused(Call&& call, const std::string& text) {
  BOOST_CHECK_EXCEPTION(call(), RequestError,
                        [&](const RequestError& error) { return std::string(error.what()) == text; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(aligned_views_on_hopper_take_warpgroup_products) {
  for (const index_t dim : {64, 128}) {
    require_path(Call(dim).path(), AttentionKernel::warpgroup, "warpgroup products");
    Call scaled(dim);
    scaled.options.scale = 1e-6f;
    require_path(scaled.path(), AttentionKernel::warpgroup, "warpgroup products");
  }
}

BOOST_AUTO_TEST_CASE(other_gpus_and_other_builds_are_named) {
  const Call call;
  for (const int capability : {80, 86, 89, 100, 120})
    require_path(call.path({capability, true}), AttentionKernel::warp,
                 "mma.sync, because the GPU has compute capability " + std::to_string(capability / 10) + "." +
                     std::to_string(capability % 10) + "; warpgroup products are Hopper's, 9.0");
  require_path(call.path({75, true}), AttentionKernel::none,
               "no kernel, because the GPU has compute capability 7.5; 8.0 and newer work");
  require_path(call.path({90, false}), AttentionKernel::warp,
               "mma.sync, because the program was not compiled for 90a (or with "
               "-DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS)");
}

BOOST_AUTO_TEST_CASE(the_scale_the_head_and_missing_keys_are_named) {
  Call scaled;
  scaled.options.scale = -0.5f;
  require_path(scaled.path(), AttentionKernel::warp,
               "mma.sync, because the scale is -0.500000; warpgroup products take one above zero");
  require_path(Call(96).path(), AttentionKernel::plain,
               "plain float32 arithmetic, because heads have 96 channels; tensor cores take 64 and 128");
  require_path(Call(128, 0).path(), AttentionKernel::warp, "mma.sync, because there are no keys");
}

BOOST_AUTO_TEST_CASE(float32_is_served_without_tensor_cores) {
  alignas(16) static float floats[4];
  const auto out = HeadsView<float>::dense(floats, 1, 2, 3, 128);
  const HeadsView<const float> in = out;
  require_path(attention_path<float>(hopper, in, in, in, out, {}), AttentionKernel::plain,
               "plain float32 arithmetic, because elements are fp32; tensor cores take bf16 and fp16");
}

BOOST_AUTO_TEST_CASE(the_stride_in_the_way_is_named) {
  Call call;
  call.keys.token_stride = 387;
  const std::string keys = "the token stride of keys is 387 elements, which is no multiple of 16 bytes";
  require_path(call.path(), AttentionKernel::warp,
               "mma.sync, because " + keys + "; rows move element by element, because " + keys);
  call.queries.data += 3;  // queries come first
  const std::string queries = "queries start 6 bytes past a multiple of 16";
  require_path(call.path(), AttentionKernel::warp,
               "mma.sync, because " + queries + "; rows move element by element, because " + queries);

  Call last;
  last.out.head_stride = 129;
  BOOST_CHECK_EQUAL(to_string(last.path().bulk_copies),
                    "the head stride of out is 129 elements, which is no multiple of 16 bytes");
  last.values.batch_stride += 4;
  BOOST_CHECK_EQUAL(to_string(last.path().bulk_copies),
                    "the batch stride of values is 3460 elements, which is no multiple of 16 bytes");
}

BOOST_AUTO_TEST_CASE(shared_keys_are_beyond_bulk_copies_and_no_slower_to_mma_sync) {
  Call call;
  call.keys.head_stride = 0;
  require_path(call.path(), AttentionKernel::warp,
               "mma.sync, because the head stride of keys is 0 elements, which is not above zero");
}

BOOST_AUTO_TEST_CASE(a_stride_that_is_not_used_is_not_in_the_way) {
  auto one = HeadsView<const bf16>::dense(memory, 1, 1, 1, 8);
  one.batch_stride = one.token_stride = one.head_stride = 3;
  BOOST_CHECK(!misalignment("one", one) && !bulk_misalignment("one", one));
  one.tokens = 2;
  BOOST_CHECK(misalignment("one", one) && bulk_misalignment("one", one));
  BOOST_CHECK_EQUAL(to_string(misalignment("one", HeadsView<const bf16>::dense(memory, 1, 1, 1, 12))),
                    "the head dimension of one is 12 elements, which is no multiple of 16 bytes");
}

BOOST_AUTO_TEST_CASE(merging_and_quantising_say_what_keeps_them_from_wide_accesses) {
  auto other = HeadsView<const bf16>::dense(memory, 1, 4, 2, 128);
  auto into = HeadsView<bf16>::dense(memory, 1, 4, 2, 128);
  BOOST_CHECK(!merge_attention_misalignment<bf16>(other, into));
  into.token_stride = 257;
  BOOST_CHECK_EQUAL(
      to_string(merge_attention_misalignment<bf16>(other, into)),
      "the token stride of the result to merge into is 257 elements, which is no multiple of 16 bytes");

  alignas(16) static fp8_e4m3 codes[16];
  float scale = 0;
  const auto quantized = QuantizedHeads<fp8_e4m3>::head_major(codes, &scale, 1, 4, 2, 128);
  BOOST_CHECK(!quantize_heads_misalignment<bf16>(other, quantized));
  BOOST_CHECK_EQUAL(to_string(quantize_heads_misalignment<bf16>(
                        other, QuantizedHeads<fp8_e4m3>::head_major(codes + 8, &scale, 1, 4, 2, 128))),
                    "the codes start 8 bytes past a multiple of 16");
  other.head_stride = 130;
  BOOST_CHECK_EQUAL(to_string(quantize_values_misalignment<bf16>(other)),
                    "the head stride of in is 130 elements, which is no multiple of 16 bytes");
}

BOOST_AUTO_TEST_CASE(fp8_attention_runs_on_hopper_with_code_for_it) {
  require_fp8_attention_gpu(hopper);
  require_refused(
      [] {
        require_fp8_attention_gpu({100, true});
      },
      "fp8_attention: the GPU has compute capability 10.0; it runs on Hopper, 9.0");
  require_refused(
      [] {
        require_fp8_attention_gpu({90, false});
      },
      "fp8_attention: the program was not compiled for 90a (or with "
      "-DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS); add it to CMAKE_CUDA_ARCHITECTURES");
}
