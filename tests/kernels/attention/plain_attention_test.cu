#define BOOST_TEST_MODULE plain_attention_device
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include <stepvideo/kernels/attention/plain_attention.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

namespace {

struct Kernel {
  template <class... Arguments>
  void operator()(Device device, const Arguments&... arguments) const {
    plain_attention(device, arguments...);
  }
};

using Subjects = std::tuple<testing::Subject<Kernel, float>, testing::Subject<Kernel, bf16>,
                            testing::Subject<Kernel, fp16>>;

// Fewer than a group of four, ragged, models' widths, and more than a block keeps.
const testing::AttentionLimits limits{.dims = {1, 2, 16, 20, 32, 64, 72, 128, 200, 512, 800}, .trials = 60};

}  // namespace

#include "kernels/attention/device_tests.cuh"

BOOST_AUTO_TEST_CASE(a_batch_may_be_larger_than_a_grid_is_wide) {
  std::mt19937 engine(41);
  testing::ErrorBudget<float> budget;
  const testing::AttentionProblem<float> problem(
      engine, {.batch = 70'000, .queries = 1, .keys = 3, .heads = 2, .groups = 1, .dim = 4});
  testing::OnDevice<Kernel>{}(problem, FullMask{});
  budget.judge(problem, testing::sees_all, testing::no_bias);
}

BOOST_AUTO_TEST_CASE(elements_behind_2_to_the_31_are_reached) {
  constexpr index_t tokens = 20, heads = 2, dim = 32, width = heads * dim, stride = index_t{1} << 27;
  static_assert((tokens - 1) * stride > std::numeric_limits<int>::max());
  std::mt19937 engine(42);
  const auto source = testing::random_normal<bf16>(3 * tokens * width, engine);
  /// The bits of attention over [queries | keys | values | out], whose tokens lie `token_stride` apart.
  const auto attend = [&](index_t token_stride) {
    const Buffer<bf16, Device> memory(device, (tokens - 1) * token_stride + 4 * width);
    const auto part = [&](index_t i) {
      return HeadsView<bf16>{memory.data() + i * width, 1, tokens, heads, dim, 0, token_stride, dim};
    };
    constexpr std::size_t row_bytes = width * sizeof(bf16);
    const std::size_t pitch = static_cast<std::size_t>(token_stride) * sizeof(bf16);
    for (index_t i = 0; i < 3; ++i)
      check(cudaMemcpy2D(part(i).data, pitch, source.data() + i * tokens * width, row_bytes, row_bytes,
                         tokens, cudaMemcpyDefault));
    plain_attention(device, part(0), part(1), part(2), CausalMask{}, part(3), {.scale = 0.2f});
    std::vector<std::uint16_t> bits(tokens * width);
    check(cudaMemcpy2D(bits.data(), row_bytes, part(3).data, pitch, row_bytes, tokens, cudaMemcpyDefault));
    return bits;
  };
  BOOST_CHECK(attend(stride) == attend(4 * width));
}
