// A block of the release's width on a GPU.
#define BOOST_TEST_MODULE transformer_block_device
#include "model/on_gpu.cuh"
#include "place/accelerator.cuh"
#include "reference/block_cases.hpp"
#include "support/device.cuh"

using namespace stepvideo;
using testing::NeedsDevice;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

constexpr HeadShape release{.count = 48, .dim = 128};
constexpr LatentShape shape{4, 22, 26};  // 2288 tokens, no whole number of tiles

/// At the ends, at both sides of a tile of queries, and between.
const std::vector<index_t> rows{0,   1,    63,   64,   127,  128,  383,  571,
                                572, 1000, 1337, 1715, 1716, 2047, 2176, shape.tokens() - 1};

}  // namespace

BOOST_AUTO_TEST_CASE(sampled_rows_of_a_block_of_the_releases_width_are_as_near_as_a_naive_run,
                     *boost::unit_test::precondition(testing::NeedsDeviceBytes{std::size_t{6} << 30})) {
  place::Accelerator accelerator(0);
  testing::a_block_is_as_near_to_its_equations_as_a_naive_run(accelerator.compute(), release, shape, rows);
}

BOOST_AUTO_TEST_CASE(sampled_rows_of_a_block_of_the_releases_width_in_fp8_stay_near,
                     *boost::unit_test::precondition(testing::NeedsDeviceBytes{std::size_t{6} << 30})) {
  place::Accelerator accelerator(0);
  testing::a_block_in_fp8_stays_near_its_equations(accelerator.compute(), release, shape, rows,
                                                   {{true, true}});
}

BOOST_AUTO_TEST_CASE(a_small_block_with_heads_of_64_in_fp8_stays_near) {
  place::Accelerator accelerator(0);
  testing::a_block_in_fp8_stays_near_its_equations(accelerator.compute(), {.count = 3, .dim = 64}, {3, 7, 9},
                                                   {0, 1, 62, 63, 127, 128, 129, 188},
                                                   {{true, false}, {false, true}, {true, true}});
}
