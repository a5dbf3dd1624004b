// What the transformer's memory holds: the plan's figures, the layout's and what the model reads are one.
#define BOOST_TEST_MODULE transformer_memory
#include <map>
#include <tuple>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "model/transformer.hpp"
#include "plan/cost_model.hpp"
#include "plan/hardware_files.hpp"
#include "support/compare.hpp"

using namespace stepvideo;
using namespace stepvideo::model;

namespace {

using Elements = std::tuple<float, bf16>;

constexpr TransformerConfig release{};
constexpr index_t full_size = 75'888, text_tokens = 397;

/// A run of bytes in a slab.
struct Place {
  std::uintptr_t first, last;

  template <class T>
  static Place of(TokensView<T> view) {
    const auto first = reinterpret_cast<std::uintptr_t>(view.data);
    return {first, first + static_cast<std::size_t>(view.batch * view.tokens * view.width) * sizeof(T)};
  }
  template <class T>
  static Place of(MatrixView<T> view) {
    const auto first = reinterpret_cast<std::uintptr_t>(view.data);
    return {first, first + static_cast<std::size_t>(view.rows * view.columns) * sizeof(T)};
  }
  bool overlaps(Place other) const { return first < other.last && other.first < last; }
};

/// Weights that say how many bytes were asked for.
class CountingSource final : public WeightSource<Host> {
 public:
  explicit CountingSource(const TransformerConfig& config) {
    for (const auto& [name, shape] : expected_tensors(config)) shapes_[name] = shape;
  }
  const io::Shape& shape(const std::string& name) const override { return shapes_.at(name); }
  void read(const std::string& name, VectorView<float> into) override { fill(name, into); }
  void read(const std::string& name, VectorView<bf16> into) override { fill(name, into); }

  std::size_t bytes = 0;
  std::map<std::string, int> reads;

 private:
  template <class T>
  void fill(const std::string& name, VectorView<T> into) {
    BOOST_REQUIRE_EQUAL(into.size, io::element_count(shape(name)));
    std::fill_n(into.data, into.size, T(0.01f));
    bytes += static_cast<std::size_t>(into.size) * sizeof(T);
    ++reads[name];
  }

  std::map<std::string, io::Shape> shapes_;
};

plan::Request request_of(plan::Arithmetic arithmetic) {
  plan::Request request{.arithmetic = arithmetic, .hardware = plan::load_hardware("h200")};
  request.link = plan::load_link(request.hardware.link);
  return request;
}

}  // namespace

BOOST_AUTO_TEST_CASE_TEMPLATE(what_is_read_while_something_is_written_lies_elsewhere, T, Elements) {
  for (const auto& [batch, tokens] :
       {std::pair<index_t, index_t>{1, 4551}, {2, 216}, {2, 8193}, {1, full_size}}) {
    const TransformerLayout layout(release, TransformerShare::whole(release, batch, tokens), sizeof(T));
    // Nothing is touched: addresses alone are compared.
    std::byte* const memory = reinterpret_cast<std::byte*>(storage_alignment);
    const auto at = layout.template over<T>(memory);
    const std::vector<std::pair<Place, Place>> together{
        {Place::of(at.patches), Place::of(at.stream)},
        {Place::of(at.stream), Place::of(at.normed)},
        {Place::of(at.normed), Place::of(at.qkv)},
        {Place::of(at.qkv), Place::of(at.attended)},
        {Place::of(at.attended), Place::of(at.delta)},
        {Place::of(at.delta), Place::of(at.stream)},
        {Place::of(at.delta), Place::of(at.rounded)},
        {Place::of(at.rounded), Place::of(at.queries)},
        {Place::of(at.queries), Place::of(at.attended)},
        {Place::of(at.delta), Place::of(at.normed)},
        {Place::of(at.normed), Place::of(at.hidden)},
        {Place::of(at.hidden), Place::of(at.delta)},
        {Place::of(at.normed), Place::of(at.results)},
        {Place::of(at.stream), Place::of(at.sinusoids)},
        {Place::of(at.adaln), Place::of(at.modulations_of(0))},
        {Place::of(at.modulations_of(release.layers - 1)), Place::of(at.modulations_of(release.layers))}};
    for (std::size_t i = 0; i < together.size(); ++i)
      BOOST_CHECK_MESSAGE(!together[i].first.overlaps(together[i].second), "pair " << i << " overlaps");
    const std::uintptr_t end = storage_alignment + layout.bytes();
    for (const Place place :
         {Place::of(at.stream), Place::of(at.normed), Place::of(at.qkv), Place::of(at.delta),
          Place::of(at.hidden), Place::of(at.results), Place::of(at.modulations_of(release.layers))})
      BOOST_CHECK(place.first >= storage_alignment && place.last <= end);
    BOOST_CHECK_GE(2 * at.hidden.rows, tokens);
  }
}

BOOST_AUTO_TEST_CASE(a_full_size_element_takes_5_7_gb_beside_the_weights) {
  const TransformerShare whole = TransformerShare::whole(release, 1, full_size);
  const TransformerLayout layout(release, whole, sizeof(bf16));
  const TextLayout kept(release, whole, text_tokens, sizeof(bf16), any_number_of_bytes),
      made_again(release, whole, text_tokens, sizeof(bf16), 0);
  BOOST_CHECK_LT(static_cast<double>(layout.bytes() + made_again.bytes()), 5.7e9);
  BOOST_CHECK_LT(static_cast<double>(layout.bytes() + kept.bytes()), 6.2e9);
  BOOST_CHECK(kept.keeps_blocks() && !made_again.keeps_blocks());
  // The stream in float32, and four rows of bf16 of its width.
  BOOST_CHECK_CLOSE(static_cast<double>(layout.bytes()), 75'888.0 * 6144 * (4 + 4 * 2), 0.2);
}

BOOST_AUTO_TEST_CASE(planned_activations_are_the_bytes_that_are_laid_out) {
  for (const auto& [arithmetic, element] :
       {std::pair{plan::Arithmetic::bf16, sizeof(bf16)}, std::pair{plan::Arithmetic::fp32, sizeof(float)}})
    for (const index_t batch : {2, 1}) {
      const plan::Request request = request_of(arithmetic);
      plan::Request roomy = request;
      roomy.hardware.memory_bytes = 1e12;
      const Topology topology{.guidance = batch == 1 ? 2 : 1};
      const TransformerShare share = TransformerShare::whole(release, batch, full_size);
      const double latents = (1.0 + 2 * static_cast<double>(batch)) * full_size * 4 * release.in_channels;
      const auto laid_out = [&](index_t together, std::size_t spare_bytes) {
        TransformerShare part = share;
        part.batch = together;
        return latents +
               static_cast<double>(TransformerLayout(release, part, element).bytes() +
                                   TextLayout(release, share, text_tokens, element, spare_bytes).bytes());
      };
      const auto planned = [&](const plan::Request& asked) {
        return plan::cost_of(asked, topology).phase("denoise")->activation_bytes;
      };
      BOOST_CHECK_EQUAL(planned(roomy), laid_out(batch, any_number_of_bytes));
      plan::Request tight = request;
      tight.hardware.memory_bytes = 1e9;
      BOOST_CHECK_EQUAL(planned(tight), laid_out(1, 0));
    }
}

BOOST_AUTO_TEST_CASE(a_rank_lays_out_its_share) {
  const plan::Request request = request_of(plan::Arithmetic::bf16);
  const plan::Cost whole = plan::cost_of(request, {.guidance = 2}),
                   half = plan::cost_of(request, {.guidance = 2, .tensor = 2});
  const BlockSlab slab(release, BlockShare::whole(release), sizeof(bf16)),
      half_slab(release, {release.width() / 2, 2 * release.width()}, sizeof(bf16));
  BOOST_CHECK_EQUAL(slab.bytes(), 16ull * 6144 * 6144 * 2);
  BOOST_CHECK_EQUAL(2 * half_slab.bytes(), slab.bytes());
  BOOST_CHECK_EQUAL(whole.phase("denoise")->weight_bytes - half.phase("denoise")->weight_bytes,
                    48.0 * static_cast<double>(half_slab.bytes()));
  BOOST_CHECK_LT(half.phase("denoise")->activation_bytes, whole.phase("denoise")->activation_bytes);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(planned_weights_are_the_bytes_that_the_model_reads, T, Elements) {
  const TransformerConfig small{.heads = {.count = 2, .dim = 64},
                                .layers = 3,
                                .in_channels = 8,
                                .out_channels = 8,
                                .llm_width = 96,
                                .clip_width = 32};
  CountingSource source(small);
  const Transformer<T, Host> transformer(host, small, std::move(source));
  for (const auto& tensor : expected_tensors(small)) BOOST_CHECK_EQUAL(source.reads[tensor.name], 1);
  plan::Request request = request_of(sizeof(T) == 4 ? plan::Arithmetic::fp32 : plan::Arithmetic::bf16);
  request.shapes.transformer = small;
  BOOST_CHECK_EQUAL(plan::cost_of(request, {}).phase("denoise")->weight_bytes,
                    static_cast<double>(source.bytes));
}

BOOST_AUTO_TEST_CASE(a_pair_runs_together_where_it_fits) {
  const TransformerShare pair = TransformerShare::whole(release, 2, full_size);
  const std::size_t bytes = TransformerLayout(release, pair, 2).bytes();
  BOOST_CHECK_EQUAL(elements_at_a_time(release, pair, 2, bytes), 2);
  BOOST_CHECK_EQUAL(elements_at_a_time(release, pair, 2, bytes - 1), 1);
}
