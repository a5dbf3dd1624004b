#define BOOST_TEST_MODULE partial_attention_device
#include <tuple>

#include <stepvideo/kernels/attention/attention.cuh>
#include <stepvideo/kernels/attention/merge.cuh>

#include "kernels/attention/on_device.cuh"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

template <class T>
std::vector<T> elements_of(const StoredHeads<T>& heads) {
  std::vector<T> elements;
  for_each_element(heads.view, [&](index_t, T element) { elements.push_back(element); });
  return elements;
}
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

using Elements = std::tuple<bf16, fp16, float>;

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(a_partial_result_rounded_is_attentions_result, T, Elements) {
  std::mt19937 engine(3);
  for (const index_t dim : {64, 128, 20})
    for (const HeadsLayout layout : every_layout)
      for (const index_t queries : {1, 70, 397}) {
        const index_t batch = 2, keys = queries + 30, heads = 3;
        const auto q = random_heads<T>(HeadsLayout::token_major, batch, queries, heads, dim, engine, 1.0f),
                   k = random_heads<T>(HeadsLayout::packed, batch, keys, heads, dim, engine, 1.0f),
                   v = random_heads<T>(HeadsLayout::token_major, batch, keys, heads, dim, engine, 1.0f);
        const auto rounded = poisoned_heads<T>(HeadsLayout::token_major, batch, queries, heads, dim);
        const auto partial = poisoned_heads<float>(layout, batch, queries, heads, dim);
        const auto sum = poisoned_heads<float>(HeadsLayout::token_major, batch, queries, heads, 1),
                   partial_sum = poisoned_heads<float>(layout, batch, queries, heads, 1);
        {
          const CarriedHeads<T> on_q(q), on_k(k), on_v(v), on_rounded(rounded);
          const CarriedHeads<float> on_partial(partial), on_sum(sum), on_partial_sum(partial_sum);
          attention<T>(device, on_q.view, on_k.view, on_v.view, FullMask{}, on_rounded.view,
                       {.log_sum_exp = on_sum.view});
          partial_attention<T>(device, on_q.view, on_k.view, on_v.view, FullMask{}, on_partial.view,
                               {.log_sum_exp = on_partial_sum.view});
          on_rounded.bring_back(rounded), on_partial.bring_back(partial);
          on_sum.bring_back(sum), on_partial_sum.bring_back(partial_sum);
        }
        std::vector<T> from_partial;
        for (const float element : elements_of(partial)) from_partial.push_back(T(element));
        BOOST_CHECK_MESSAGE(same_bits(from_partial, elements_of(rounded)),
                            "dim " << dim << ", " << queries << " queries, layout " << int(layout));
        BOOST_CHECK(same_bits(elements_of(partial_sum), elements_of(sum)));
        // Nothing beside the view was written.
        index_t nans = 0;
        for (const float element : partial.storage) nans += element != element;
        BOOST_CHECK_EQUAL(nans, partial.storage.size() - batch * queries * heads * dim);
      }
}

BOOST_AUTO_TEST_CASE(multiprocessors_left_to_others_change_no_bit) {
  std::mt19937 engine(4);
  const auto q = random_heads<bf16>(HeadsLayout::token_major, 1, 3000, 4, 128, engine, 1.0f);
  std::vector<std::vector<bf16>> results;
  for (const int spare : {0, 16, 131, 1000}) {
    const auto out = poisoned_heads<bf16>(HeadsLayout::token_major, 1, 3000, 4, 128);
    const CarriedHeads<bf16> on_q(q), on_out(out);
    attention<bf16>(device, on_q.view, on_q.view, on_q.view, FullMask{}, on_out.view,
                    {.spare_multiprocessors = spare});
    on_out.bring_back(out);
    results.push_back(elements_of(out));
  }
  for (const auto& result : results) BOOST_CHECK(same_bits(result, results.front()));
}

BOOST_AUTO_TEST_CASE(a_partial_result_without_its_sum_is_refused) {
  const Buffer<bf16, Device> values(64);
  const Buffer<float, Device> out(64);
  const auto view = HeadsView<bf16>::dense(values.data(), 1, 1, 1, 64);
  BOOST_CHECK_EXCEPTION(partial_attention<bf16>(device, view, view, view, FullMask{},
                                                HeadsView<float>::dense(out.data(), 1, 1, 1, 64), {}),
                        RequestError, [](const RequestError& error) {
                          return std::string(error.what()).find("log_sum_exp has no data") !=
                                 std::string::npos;
                        });
}
