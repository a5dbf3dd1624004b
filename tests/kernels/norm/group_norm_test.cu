#define BOOST_TEST_MODULE group_norm_device
#include <stepvideo/kernels/norm/group_norm.cuh>

#include "kernels/norm/group_norm_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// The host's case, carried to the GPU and back; `shift` elements off the grid of 16 bytes.
template <int shift = 0>
struct OnDevice {
  template <class T, class E, class Out>
  void operator()(const Buffer<T>& in, VideoView<T> shape, const Buffer<T>& weight, const Buffer<T>& bias,
                  index_t groups, const E& epilogue, const Buffer<Out>& out) const {
    const auto video_at = [&](auto* data) {
      return VideoView<std::remove_pointer_t<decltype(data)>>{data, shape.frames, shape.height, shape.width,
                                                              shape.channels};
    };
    const auto device_weight = testing::to_device(weight), device_bias = testing::to_device(bias);
    const Buffer<T, Device> device_in(device, in.size() + shift);
    const Buffer<Out, Device> device_out(device, out.size() + shift);
    check(cudaMemcpy(device_in.data() + shift, in.data(), in.size_bytes(), cudaMemcpyDefault));
    check(cudaMemcpy(device_out.data() + shift, out.data(), out.size_bytes(), cudaMemcpyDefault));
    const Buffer<std::byte, Device> workspace(device, index_t(group_norm_workspace(device, shape)));
    const bool is_in_place = static_cast<const void*>(in.data()) == out.data();
    Out* to = is_in_place ? reinterpret_cast<Out*>(device_in.data()) : device_out.data();
    group_norm(device, video_at(device_in.data() + shift), device_weight.vector(), device_bias.vector(),
               groups, 1e-5f, epilogue, video_at(to + shift), Workspace(workspace));
    synchronize(device);
    check(cudaMemcpy(out.data(), to + shift, out.size_bytes(), cudaMemcpyDefault));
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(random_shapes_agree_with_the_formula_in_float) {
  testing::group_norm_agrees_with_its_oracle<float>(OnDevice{}, 2e-6);
}
BOOST_AUTO_TEST_CASE(random_shapes_agree_with_the_formula_in_bf16) {
  testing::group_norm_agrees_with_its_oracle<bf16>(OnDevice{}, 4e-3);
}
BOOST_AUTO_TEST_CASE(large_videos) {
  testing::large_videos_agree_with_the_oracle<float>(OnDevice{}, 2e-6);
  testing::large_videos_agree_with_the_oracle<bf16>(OnDevice{}, 4e-3);
}
BOOST_AUTO_TEST_CASE(misaligned_videos) {
  testing::large_videos_agree_with_the_oracle<bf16>(OnDevice<1>{}, 4e-3);
}
BOOST_AUTO_TEST_CASE(a_mean_far_from_zero) {
  testing::a_mean_far_from_zero_costs_no_digits(OnDevice{});
}

BOOST_AUTO_TEST_CASE(float_in_and_an_epilogue_that_reads_another_video) {
  std::mt19937 engine(17);
  const index_t size = 2 * 31 * 23 * 64;
  const auto in = testing::random_normal<float>(size, engine),
             skip = testing::random_normal<float>(size, engine);
  const auto weight = testing::random_normal<float>(64, engine),
             bias = testing::random_normal<float>(64, engine);
  const auto out = testing::poisoned<bf16>(size);
  const auto shape = testing::video(in, 2, 31, 23, 64);
  const auto device_skip = testing::to_device(skip);
  const Residual<float> add{MatrixView<float>::dense(device_skip.data(), 2 * 31 * 23, 64)};
  OnDevice{}(in, shape, weight, bias, 32, chain(Activate<Silu>{}, add), out);
  auto expected = oracle::group_norm<float>(shape, weight, bias, 32, 1e-5);
  for (index_t i = 0; i < size; ++i)
    expected[std::size_t(i)] = expected[std::size_t(i)] / (1 + std::exp(-expected[std::size_t(i)])) + skip[i];
  STEPVIDEO_CHECK_CLOSE(out, expected, 4e-3);
}

BOOST_AUTO_TEST_CASE(fifty_runs_give_the_same_bits) {
  std::mt19937 engine(18);
  const auto in = testing::random_normal<bf16>(2 * 60 * 70 * 128, engine);
  const auto weight = testing::random_normal<bf16>(128, engine),
             bias = testing::random_normal<bf16>(128, engine);
  const auto shape = testing::video(in, 2, 60, 70, 128);
  Buffer<bf16> first;
  for (int run = 0; run < 50; ++run) {
    auto out = testing::poisoned<bf16>(in.size());
    OnDevice{}(in, shape, weight, bias, 32, Activate<Silu>{}, out);
    if (run == 0)
      first = std::move(out);
    else
      BOOST_REQUIRE(
          std::equal(out.begin(), out.end(), first.begin(), [](bf16 a, bf16 b) { return a.bits == b.bits; }));
  }
}

BOOST_AUTO_TEST_CASE(a_small_workspace_is_refused) {
  const Buffer<float, Device> values(device, 64);
  const VideoView<float> view{values.data(), 1, 1, 8, 8};
  BOOST_CHECK_THROW(group_norm(device, view, VectorView<float>{values.data(), 8},
                               VectorView<float>{values.data(), 8}, 4, 1e-5f, Store{}, view, Workspace{}),
                    RequestError);
}
