// What the kernels of the GPU refuse, and what leaves them nothing to do, is decided before the first call of
// CUDA: this program needs no GPU.
#define BOOST_TEST_MODULE refusals_device
#include <stepvideo/kernels/elementwise/convert.cuh>
#include <stepvideo/kernels/elementwise/embed.cuh>
#include <stepvideo/kernels/elementwise/latents.cuh>
#include <stepvideo/kernels/elementwise/pixels.cuh>
#include <stepvideo/kernels/elementwise/quantize_rows.cuh>
#include <stepvideo/kernels/elementwise/timestep.cuh>
#include <stepvideo/kernels/norm/gated_layer_norm.cuh>
#include <stepvideo/kernels/norm/gated_residual.cuh>
#include <stepvideo/kernels/norm/group_norm.cuh>
#include <stepvideo/kernels/norm/rms_norm.cuh>
#include <stepvideo/kernels/rope/qk_norm_rope.cuh>
#include <stepvideo/kernels/rope/rope.cuh>
#include <stepvideo/kernels/sampler/guided_step.cuh>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "kernels/elementwise/elementwise_refusals.hpp"
#include "kernels/elementwise/pixels_cases.hpp"
#include "kernels/elementwise/quantize_rows_cases.hpp"
#include "kernels/norm/group_norm_cases.hpp"
#include "kernels/norm/layer_norm_cases.hpp"
#include "kernels/norm/rms_norm_cases.hpp"
#include "kernels/rope/quantized_qk_cases.hpp"
#include "kernels/sampler/sampler_cases.hpp"

using namespace stepvideo;

BOOST_AUTO_TEST_CASE(views_that_do_not_fit_are_refused_by_name) {
  testing::elementwise_kernels_refuse_by_name(device);
  testing::scales_that_do_not_fit_are_refused(device);
  testing::pixels_refuse_by_name(device);
  testing::layer_norm_refuses_terms_by_name(device);
  testing::gated_residual_refuses_shapes_by_name(device);
  testing::rms_norm_refuses_by_name(device);
  testing::group_norm_refuses_by_name(device);
  testing::rope_refuses_by_name(device);
  testing::qk_norm_rope_refuses_by_name(device);
  testing::guided_step_refuses_by_name(device);
}

BOOST_AUTO_TEST_CASE(empty_tensors_leave_nothing_to_do) {
  testing::empty_tensors_leave_nothing_to_do(device);
  testing::no_rows_to_quantise(device);
  testing::no_pixels_leave_nothing_to_do(device);
  testing::nothing_is_normalised_of_an_empty_tensor(device);
  testing::nothing_is_added_to_an_empty_stream(device);
  testing::rms_norm_of_an_empty_tensor(device);
  testing::group_norm_of_an_empty_video(device);
  testing::rope_of_an_empty_tensor(device);
  testing::qk_norm_rope_of_an_empty_tensor(device);
  guided_step(device, {}, 1.0f, 0.1f, {});
  fill_unit_normal(device, 1, 0, {});
}

/// Never followed: the rows are only counted.
BOOST_AUTO_TEST_CASE(what_threads_cannot_count_is_refused) {
  Buffer<float> value(1);
  const auto of = [&](index_t tokens, index_t width) {
    return TokensView<float>::dense(value.data(), 1, tokens, width);
  };
  const index_t too_wide = (index_t{1} << 30) + 8, too_many = index_t{1} << 31;
  testing::check_refused([&] { layer_norm(device, of(1, too_wide), {}, 1e-5f, of(1, too_wide)); },
                         "layer_norm: rows of 1073741832 channels are not built; up to 1073741824 are");
  testing::check_refused([&] { layer_norm(device, of(too_many, 8), {}, 1e-5f, of(too_many, 8)); },
                         "layer_norm: 2147483648 blocks do not fit a grid of 2147483647; split the call");
  testing::check_refused(
      [&] {
        gated_residual(device, of(1, too_wide), MatrixView<const float>{}, of(1, too_wide), of(1, too_wide));
      },
      "gated_residual: rows of");
  testing::check_refused([&] { convert(device, TokensView<const float>(of(too_many, 8)), of(too_many, 8)); },
                         "convert: 2147483648 blocks");
}
