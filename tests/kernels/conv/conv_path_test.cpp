#define BOOST_TEST_MODULE conv_path
#include <boost/test/unit_test.hpp>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/kernels/conv/conv_path.hpp>

using namespace stepvideo;

namespace {

constexpr KernelGpu hopper{.compute_capability = 90, .has_code_for_warpgroups = true};

template <class T, class In = T>
ConvPath path_of(const KernelGpu& gpu, index_t channels = 128, index_t offset = 0) {
  alignas(16) static In memory[256];
  return conv_path<T>(gpu, VideoView<In>{memory + offset, 1, 1, 1, channels});
}

}  // namespace

BOOST_AUTO_TEST_CASE(hopper_takes_warpgroup_products) {
  const ConvPath path = path_of<bf16>(hopper);
  BOOST_CHECK(path.kernel == ConvKernel::warpgroup);
  BOOST_CHECK_EQUAL(to_string(path), "warpgroup products");
}

BOOST_AUTO_TEST_CASE(what_stands_in_the_way_is_said) {
  const auto says = [](const ConvPath& path, ConvKernel kernel, const std::string& text) {
    BOOST_CHECK(path.kernel == kernel);
    BOOST_CHECK_EQUAL(to_string(path), text);
  };
  says(path_of<bf16>(hopper, 3), ConvKernel::warp,
       "mma.sync, because in has 3 channels, which are no multiple of 16 bytes");
  says(path_of<bf16>(hopper, 8, 1), ConvKernel::warp,
       "mma.sync, because in does not start at a multiple of 16 bytes");
  says(path_of<bf16, float>(hopper), ConvKernel::warp, "mma.sync, because in is fp32 and the weight bf16");
  says(path_of<float>(hopper), ConvKernel::plain,
       "plain float32 arithmetic, because weights are fp32; tensor cores take bf16, fp16 and fp8");
  says(path_of<fp16>({.compute_capability = 89}), ConvKernel::warp,
       "mma.sync, because the GPU has compute capability 8.9; warpgroup products are Hopper's, 9.0");
  says(path_of<bf16>({.compute_capability = 90}), ConvKernel::warp,
       "mma.sync, because the program was not compiled for 90a (or with "
       "-DSTEPVIDEO_WITHOUT_WARPGROUP_PRODUCTS)");
  says(path_of<fp8_e4m3>(hopper), ConvKernel::warpgroup, "warpgroup products");
  says(path_of<fp8_e4m3>(hopper, 24), ConvKernel::none,
       "no kernel, because in has 24 channels, which are no multiple of 16 bytes");
  says(path_of<fp8_e4m3>({.compute_capability = 89}), ConvKernel::none,
       "no kernel, because the GPU has compute capability 8.9; warpgroup products are Hopper's, 9.0");
  says(path_of<bf16>({.compute_capability = 75}), ConvKernel::none,
       "no kernel, because the GPU has compute capability 7.5; 8.0 and newer work");
}
