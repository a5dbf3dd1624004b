// A block of the release's width on a GPU.
#define BOOST_TEST_MODULE transformer_block_device
#include "model/on_gpu.cuh"
#include "place/accelerator.cuh"
#include "reference/block_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

/// Rows at the ends, at both sides of a tile of queries, and between.
BOOST_AUTO_TEST_CASE(sampled_rows_of_a_block_of_the_releases_width_are_as_near_as_a_naive_run,
                     *boost::unit_test::precondition(testing::NeedsDeviceBytes{std::size_t{6} << 30})) {
  place::Accelerator accelerator(0);
  constexpr LatentShape shape{4, 22, 26};  // 2288 tokens, no whole number of tiles
  const index_t last = shape.tokens() - 1;
  testing::a_block_is_as_near_to_its_equations_as_a_naive_run(
      accelerator.compute(), HeadShape{.count = 48, .dim = 128}, shape,
      {0, 1, 63, 64, 127, 128, 383, 571, 572, 1000, 1337, 1715, 1716, 2047, 2176, last});
}
