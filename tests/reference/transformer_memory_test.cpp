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
  template <class T>
  static Place of(HeadsView<T> view) {
    const auto first = reinterpret_cast<std::uintptr_t>(view.data);
    return {first,
            first + static_cast<std::size_t>(view.batch * view.tokens * view.heads * view.dim) * sizeof(T)};
  }
  static Place of(const QuantizedHeads<fp8_e4m3>& heads) { return of(heads.values); }
  static Place of(const ScaledTokensView& rows) { return of(rows.values); }
  static Place scales(const ScaledTokensView& rows) {
    return of(MatrixView<float>::dense(rows.scales.data, 1, rows.scales.size));
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

/// A place at which something was read while something was written elsewhere.
using Pairs = std::vector<std::pair<Place, Place>>;

template <class T>
Pairs read_while_written(const TransformerActivations<T>& at) {
  return {{Place::of(at.patches), Place::of(at.stream)},
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
          {Place::of(at.stream), Place::of(at.time.sinusoids)},
          {Place::of(at.time.adaln), Place::of(at.time.modulations_of(0))},
          {Place::of(at.time.modulations_of(release.layers - 1)),
           Place::of(at.time.modulations_of(release.layers))}};
}
/// The same of blocks in fp8.
template <class T>
Pairs read_while_written_in_fp8(const TransformerActivations<T>& at, Fp8Parts fp8) {
  const Fp8Activations<T>& of = at.fp8;
  Pairs pairs;
  const auto add = [&](Place one, std::initializer_list<Place> others) {
    for (const Place other : others) pairs.push_back({one, other});
  };
  if (fp8.products) {
    add(Place::of(of.normed), {Place::of(at.stream), Place::of(at.qkv), Place::of(at.delta),
                               Place::of(at.queries), Place::of(at.hidden), Place::of(of.hidden)});
    add(Place::of(of.hidden), {Place::of(at.hidden), Place::of(at.delta), Place::scales(of.normed)});
    add(Place::of(of.attended_of_front), {Place::of(at.attended), Place::of(at.delta)});
    add(Place::scales(of.hidden), {Place::scales(of.normed)});
  }
  if (fp8.attention) {
    add(Place::of(of.queries), {Place::of(at.qkv), Place::of(of.keys), Place::of(of.attended)});
    add(Place::of(of.keys), {Place::of(at.qkv), Place::of(of.attended), Place::of(of.values.codes)});
    add(Place::of(of.values.codes), {Place::of(at.qkv), Place::of(of.attended), Place::of(of.queries),
                                     Place::of(of.values.scales), Place::of(of.values.means)});
    add(Place::of(of.values.scales), {Place::of(of.values.means)});
    add(Place::of(of.queries.scales), {Place::of(of.keys.scales), Place::of(of.values.codes)});
    add(Place::of(of.attended), {Place::of(at.delta)});
    if (fp8.products) add(Place::of(of.attended_of_back), {Place::of(of.attended), Place::of(at.delta)});
  }
  return pairs;
}

BOOST_AUTO_TEST_CASE_TEMPLATE(what_is_read_while_something_is_written_lies_elsewhere, T, Elements) {
  // Nothing is touched: addresses alone are compared.
  std::byte* const memory = reinterpret_cast<std::byte*>(storage_alignment);
  for (const auto& [batch, tokens] :
       {std::pair<index_t, index_t>{1, 4551}, {2, 216}, {2, 8193}, {6, 4551}, {1, full_size}})
    for (const Fp8Parts fp8 : {Fp8Parts{}, {true, false}, {false, true}, {true, true}}) {
      if (!has_fp8<T> && (fp8.products || fp8.attention)) continue;
      for (const index_t together : {batch, index_t{1}}) {
        TransformerShare share = TransformerShare::whole(release, batch, tokens);
        share.together = together;
        const TransformerLayout layout(release, share, sizeof(T), fp8);
        const std::uintptr_t end = storage_alignment + layout.bytes();
        BOOST_CHECK_EQUAL(layout.groups(), batch / together);
        for (index_t group = 0; group < layout.groups(); ++group) {
          const auto at = layout.template over<T>(memory, group);
          BOOST_CHECK_EQUAL(at.first, group * together);
          BOOST_CHECK_GE((fp8.products ? 3 : 2) * at.hidden.rows, tokens);
          Pairs pairs = read_while_written_in_fp8(at, fp8);
          if (together == 1 || batch <= 2)  // queries of many elements may lie where their delta was
            for (const auto& pair : read_while_written(at)) pairs.push_back(pair);
          // Those who wait keep their streams.
          for (index_t other = 0; other < group; ++other) {
            const auto waits = layout.template over<T>(memory, other);
            for (const Place kept : {Place::of(waits.stream)})
              for (const Place written : {Place::of(at.stream), Place::of(at.normed), Place::of(at.qkv),
                                          Place::of(at.delta), Place::of(at.hidden)})
                pairs.push_back({kept, written});
          }
          for (std::size_t i = 0; i < pairs.size(); ++i) {
            BOOST_CHECK_MESSAGE(!pairs[i].first.overlaps(pairs[i].second), "pair " << i << " overlaps");
            for (const Place place : {pairs[i].first, pairs[i].second})
              BOOST_CHECK(place.first >= storage_alignment && place.last <= end);
          }
        }
      }
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
       {std::pair{plan::Arithmetic::bf16, sizeof(bf16)}, std::pair{plan::Arithmetic::fp32, sizeof(float)},
        std::pair{plan::Arithmetic::fp8, sizeof(bf16)}})
    for (const index_t batch : {2, 1}) {
      const plan::Request request = request_of(arithmetic);
      const bool is_fp8 = arithmetic == plan::Arithmetic::fp8;
      plan::Request roomy = request;
      roomy.hardware.memory_bytes = 1e12;
      const Topology topology{.guidance = batch == 1 ? 2 : 1};
      const TransformerShare share = TransformerShare::whole(release, batch, full_size);
      const double latents = (1.0 + 2 * static_cast<double>(batch)) * full_size * 4 * release.in_channels;
      const auto laid_out = [&](TransformerShare part, std::size_t spare_bytes) {
        return latents +
               static_cast<double>(TransformerLayout(release, part, element, {is_fp8, is_fp8}).bytes() +
                                   TextLayout(release, share, text_tokens, element, spare_bytes).bytes());
      };
      const auto planned = [&](const plan::Request& asked) {
        return plan::cost_of(asked, topology).phase("denoise")->activation_bytes;
      };
      BOOST_CHECK_EQUAL(planned(roomy), laid_out(share, any_number_of_bytes));
      plan::Request tight = request;
      tight.hardware.memory_bytes = 1e9;
      BOOST_CHECK_EQUAL(planned(tight), laid_out(TransformerShare::whole(release, 1, full_size), 0));
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

BOOST_AUTO_TEST_CASE(a_pair_runs_together_or_takes_turns_or_goes_alone_as_memory_allows) {
  const TransformerShare pair = TransformerShare::whole(release, 2, full_size);
  TransformerShare in_turns = pair;
  in_turns.together = 1;
  for (const Fp8Parts fp8 : {Fp8Parts{}, {true, true}}) {
    const auto bytes = [&](const TransformerShare& share) {
      return TransformerLayout(release, share, 2, fp8).bytes();
    };
    const auto fitting = [&](std::size_t spare_bytes) {
      const TransformerShare share = share_that_fits(release, pair, 2, fp8, spare_bytes);
      return std::pair(share.batch, share.together);
    };
    BOOST_CHECK(fitting(bytes(pair)) == std::pair(index_t{2}, index_t{2}));
    BOOST_CHECK(fitting(bytes(pair) - 1) == std::pair(index_t{2}, index_t{1}));
    BOOST_CHECK(fitting(bytes(in_turns)) == std::pair(index_t{2}, index_t{1}));
    BOOST_CHECK(fitting(bytes(in_turns) - 1) == std::pair(index_t{1}, index_t{1}));
    // Who waits keeps a stream in float32.
    const double waiting = static_cast<double>(bytes(in_turns)) -
                           static_cast<double>(bytes(TransformerShare::whole(release, 1, full_size)));
    BOOST_CHECK_CLOSE(waiting, 75'888.0 * 6144 * 4, 1.0);
  }
}

BOOST_AUTO_TEST_CASE(fp8_halves_all_matrices_of_a_block_but_the_texts) {
  const BlockSlab plain(release, BlockShare::whole(release), sizeof(bf16)),
      fp8(release, BlockShare::whole(release), sizeof(bf16), true);
  const double scales = 4.0 * (3 + 1 + 1 + 1 + 4 + 1) * 6144;
  BOOST_CHECK_EQUAL(static_cast<double>(fp8.bytes()), (14.0 * 1 + 2 * 2) * 6144 * 6144 + scales);
  BOOST_CHECK_EQUAL(static_cast<double>(plain.bytes()), 16.0 * 2 * 6144 * 6144);
}
