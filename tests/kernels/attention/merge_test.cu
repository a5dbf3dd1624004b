#define BOOST_TEST_MODULE merge_attention_device
#include <tuple>

#include <stepvideo/kernels/attention/merge.cuh>

#include "kernels/attention/merge_cases.hpp"
#include "kernels/attention/on_device.cuh"

using namespace stepvideo;

using testing::NeedsDevice;
BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// The parts come from the host's attention: this test is the merging's alone.
const auto on_host = [](const auto& p, const auto& mask) {
  attention(host, p.queries.view, p.keys.view, p.values.view, mask, p.out.view,
            {.scale = p.scale, .log_sum_exp = p.log_sum_exp.view});
};

const auto merge_on_device = [](const auto& other, const auto& into) {
  const testing::CarriedHeads from(other.out), to(into.out);
  const testing::CarriedHeads from_sums(other.log_sum_exp), to_sums(into.log_sum_exp);
  merge_attention(device, from.view, from_sums.view, to.view, to_sums.view);
  to.bring_back(into.out);
  to_sums.bring_back(into.log_sum_exp);
};

using Elements = std::tuple<float, bf16>;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(parts_of_the_keys_merge_into_the_whole, T, Elements) {
  testing::parts_of_the_keys_merge_into_the_whole<T>(on_host, merge_on_device,
                                                     {.dims = {8, 20, 64, 72, 128, 256}});
}

BOOST_AUTO_TEST_CASE(results_of_other_shapes_are_refused) {
  const auto view = [](index_t tokens, index_t dim) {
    return HeadsView<bf16>::dense(nullptr, 1, tokens, 2, dim);
  };
  const auto sums = [](index_t tokens) { return HeadsView<float>::dense(nullptr, 1, tokens, 2, 1); };
  const auto refused = [&](auto other, auto other_sums, auto into, auto into_sums) {
    BOOST_CHECK_THROW(merge_attention(device, other, other_sums, into, into_sums), RequestError);
  };
  refused(view(4, 64), sums(3), view(3, 64), sums(3));
  refused(view(3, 128), sums(3), view(3, 64), sums(3));
  refused(view(3, 64), sums(4), view(3, 64), sums(3));
  refused(view(3, 64), sums(3), view(3, 64), sums(4));
}
