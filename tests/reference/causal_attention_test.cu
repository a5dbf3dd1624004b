// The attention of the VAE's middle on a GPU, in bands of queries, against its formula.
#define BOOST_TEST_MODULE causal_attention_device
#include <tuple>

#include "kernels/attention/attention_problem.hpp"
#include "model/causal_attention.cuh"
#include "place/accelerator.cuh"
#include "support/device.cuh"
#include "support/place.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

using Elements = std::tuple<float, bf16>;

namespace {

/// Queries, keys and values side by side in each token, as the VAE's one convolution makes them.
template <class T>
void check_attention(const place::Accelerator& accelerator, index_t tokens, index_t channels) {
  BOOST_TEST_CONTEXT(tokens << " tokens of " << channels << " channels") {
    std::mt19937 engine(81);
    const Device at = accelerator.compute();
    const auto packed = testing::random_normal<T>(3 * tokens * channels, engine);
    const auto values_of = [&](const T* data, index_t which) {
      return MatrixView<const T>{data + which * channels, tokens, channels, 3 * channels};
    };
    const auto heads_of = [&](index_t which) {
      return HeadsView<const T>{
          packed.data() + which * channels, 1, tokens, 1, channels, 0, 3 * channels, channels};
    };
    const auto placed = testing::place(at, packed),
               out = testing::place(at, testing::poisoned<T>(tokens * channels));
    const vae::CausalAttentionBands bands(tokens, channels);
    // Poisoned, so that what is read without having been written shows.
    const auto bytes = static_cast<index_t>(bands.workspace_bytes(sizeof(T)));
    Buffer<std::byte> poison(bytes);
    std::fill(poison.begin(), poison.end(), std::byte{0xff});
    const auto room = testing::place(at, poison);
    const vae::Run<Device> run{.execution = at};
    vae::attend_causally<T>(run, values_of(placed.data(), 0), values_of(placed.data(), 1),
                            values_of(placed.data(), 2), out.matrix(tokens, channels),
                            Workspace(room.data(), room.size_bytes()));
    const auto actual = testing::fetch(at, out);
    const auto expected = oracle::attention<T>(
        heads_of(0), heads_of(1), heads_of(2), 1 / std::sqrt(static_cast<float>(channels)),
        [](index_t, index_t query, index_t key) { return key <= query; },
        [](index_t, index_t, index_t) { return 0.0; });
    const auto worst = testing::worst_of_attention<T>(std::vector<double>(actual.begin(), actual.end()),
                                                      expected, channels, tokens);
    BOOST_CHECK_MESSAGE(worst.share <= 1, "element " << worst.at << " is " << worst.actual << ", expected "
                                                     << worst.expected << " within " << worst.allowed);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(every_element_agrees_with_the_formula, T, Elements) {
  const place::Accelerator accelerator(0);
  for (const index_t tokens : {1, 2, 7, 8, 9, 63, 200, 513}) {
    check_attention<T>(accelerator, tokens, 32);
    check_attention<T>(accelerator, tokens, 40);
  }
  check_attention<T>(accelerator, 129, 512);
}
BOOST_AUTO_TEST_CASE_TEMPLATE(bands_with_a_ragged_last_one, T, Elements) {
  const place::Accelerator accelerator(0);
  constexpr index_t band = vae::CausalAttentionBands::band;
  for (const index_t tokens : {band - 1, band, band + 1, band + 1037})
    check_attention<T>(accelerator, tokens, 64);
  check_attention<T>(accelerator, band + 100, 512);
}
