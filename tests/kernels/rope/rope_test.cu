#define BOOST_TEST_MODULE rope_device
#include <stepvideo/kernels/rope/rope.cuh>

#include "oracle/rope.hpp"
#include "support/compare.hpp"
#include "support/device.cuh"
#include "support/random_input.hpp"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

template <class T>
void check_random_shapes(double bound) {
  std::mt19937 engine(43);
  for (int trial = 0; trial < 40; ++trial) {
    const auto some = [&](int low, int high) { return testing::random_int(engine, low, high); };
    const LatentShape shape{some(1, 5), some(1, 9), some(1, 9)};
    const auto split = trial % 2 ? RopeSplit::of_head(trial % 4 == 1 ? 128 : 64)
                                 : RopeSplit{2 * some(1, 33), 2 * some(1, 17), 2 * some(1, 17)};
    const int axes[] = {split.frame, split.row, split.column};
    const int dim = split.dim(), batch = some(1, 2), heads = some(1, 3), parts = some(1, 3),
              tokens = some(1, static_cast<int>(shape.tokens())),
              first = static_cast<int>(shape.tokens()) - tokens;
    const index_t width = heads * parts * dim;
    const auto values = testing::random_normal<T>(batch * tokens * width, engine);
    HeadsView<T> view{
        values.data() + (parts - 1) * dim, batch, tokens, heads, dim, tokens * width, width, parts * dim};
    auto expected = std::vector<double>(values.begin(), values.end());
    const auto turned = oracle::rope3d<T>(view, shape.height, shape.width, axes, first);
    auto next = turned.begin();
    for (index_t b = 0; b < batch; ++b)
      for (index_t t = 0; t < tokens; ++t)
        for (index_t h = 0; h < heads; ++h)
          for (index_t i = 0; i < dim; ++i)
            expected[std::size_t(view.row(b, t, h) + i - values.data())] = *next++;

    const auto on_device = testing::to_device(values);
    const auto table = make_rope_table<float>(device, shape, split);
    auto part = table.view();
    part.first_token = first;
    view.data = on_device.data() + (parts - 1) * dim;
    rope3d(device, view, part);
    STEPVIDEO_CHECK_CLOSE(testing::to_host(on_device), expected, bound);
  }
}

}  // namespace

BOOST_AUTO_TEST_CASE(float_agrees_with_the_oracle) {
  check_random_shapes<float>(1e-6);
}
BOOST_AUTO_TEST_CASE(bf16_agrees_with_the_oracle) {
  check_random_shapes<bf16>(4e-3);
}
BOOST_AUTO_TEST_CASE(fp16_agrees_with_the_oracle) {
  check_random_shapes<fp16>(5e-4);
}
