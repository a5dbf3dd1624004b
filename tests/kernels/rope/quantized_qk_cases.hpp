// The cases of qk_norm_rope to fp8, and what both forms refuse, for any place.
#pragma once
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/rope/qk_norm_rope_cases.hpp"

namespace stepvideo::testing {

/// fp8 results of a case: values and scales of one tensor each, poisoned, laid out as the case's results are.
struct QuantizedRoom {
  Buffer<fp8_e4m3> values;
  Buffer<float> scales;
  QuantizedHeads<fp8_e4m3> view;

  template <class T>
  QuantizedRoom(const QkCase<T>& c, QkLayout layout)
      : values(poisoned<fp8_e4m3>(c.batch * c.tokens * (c.heads * c.dim() + 1) + 1)),
        scales(poisoned<float>(c.batch * quantization_blocks(c.tokens) * c.heads)),
        view(QuantizedHeads<fp8_e4m3>::head_major(values.data(), scales.data(), c.batch, c.tokens, c.heads,
                                                  c.dim())) {
    if (layout == QkLayout::head_major) return;
    const index_t pad = layout == QkLayout::padded ? 1 : 0, width = c.heads * c.dim() + pad;
    view.values = {values.data() + pad, c.batch, c.tokens, c.heads, c.dim(),
                   c.tokens * width,    width,   c.dim()};
    view.scales = HeadsView<float>::dense(scales.data(), c.batch, quantization_blocks(c.tokens), c.heads, 1);
  }
};

/// Applies the fp8 form.
template <class T, class Place>
void apply(const Place& on, const QkCase<T>& c, QuantizedRoom& queries, QuantizedRoom& keys,
           HeadRotation rotation) {
  const PlacedQkCase<T, Place> at(on, c);
  const auto query_values = place(on, queries.values), key_values = place(on, keys.values);
  const auto query_scales = place(on, queries.scales), key_scales = place(on, keys.scales);
  const auto moved = [](const QuantizedRoom& room, const auto& values, const auto& scales) {
    return QuantizedHeads<fp8_e4m3>{in_copy(room.view.values, room.values, values),
                                    in_copy(room.view.scales, room.scales, scales)};
  };
  run(on, [&](auto execution) {
    qk_norm_rope(execution, in_copy(c.packed, c.storage, at.storage), at.norm(), at.turns,
                 QuantizedQkOutput{moved(queries, query_values, query_scales),
                                   moved(keys, key_values, key_scales), rotation});
  });
  const auto bring = [&](const auto& from, const auto& to) {
    const auto values = fetch(on, from);
    std::copy(values.begin(), values.end(), to.begin());
  };
  bring(query_values, queries.values), bring(key_values, keys.values);
  bring(query_scales, queries.scales), bring(key_scales, keys.scales);
}

/// Each value is fp8's nearest to the expected one, within `budget` for what comes before; the largest of a
/// block is 448 scales.
inline void check_quantized(const QuantizedHeads<fp8_e4m3>& actual, const oracle::Sums& expected,
                            Budget budget) {
  const auto& v = actual.values;
  const auto dense = [&](const std::vector<double>& values) {
    return HeadsView<const double>::dense(values.data(), v.batch, v.tokens, v.heads, v.dim);
  };
  const auto exact = dense(expected.values), summed = dense(expected.summed);
  for (index_t b = 0; b < v.batch; ++b)
    for (index_t h = 0; h < v.heads; ++h)
      for (index_t block = 0; block < quantization_blocks(v.tokens); ++block) {
        const index_t first = block * quantization_block_tokens,
                      count = std::min(v.tokens - first, quantization_block_tokens);
        const auto of_block = [&]<class T>(HeadsView<T> heads) {
          heads.data = heads.row(b, first, h), heads.batch = heads.heads = 1, heads.tokens = count;
          return gathered(heads);
        };
        const auto values = of_block(exact), magnitudes = of_block(summed);
        double largest = 0;
        for (const double value : values) largest = std::max(largest, std::abs(value));
        const float scale = actual.scale(b, block, h);
        budget.scale = 448;
        check_each<float>(std::vector{scale}, std::vector{largest}, *std::ranges::max_element(magnitudes),
                          budget);
        budget.scale = double{scale};
        check_each<fp8_e4m3>(of_block(v), values, magnitudes, budget);
      }
}

/// Two roundings to T in the norm, and a third where a rotation takes the turned row.
template <class T>
Budget quantized_budget(HeadRotation rotation) {
  const double roundings = std::same_as<T, float> ? 0.0 : rotation == HeadRotation::none ? 2.0 : 3.0;
  return {.float_roundings = 12 + roundings * in_float_roundings<T>};
}

template <class T, class Place>
void check_quantized_qk(const Place& on, const QkCase<T>& c, QkLayout layout, HeadRotation rotation) {
  QuantizedRoom queries(c, layout), keys(c, layout);
  const auto before = clone(queries.values);
  apply(on, c, queries, keys, rotation);
  for (int part : {0, 1}) {
    auto expected = c.expected(part);
    if (rotation == HeadRotation::hadamard) expected = oracle::hadamard(expected, std::size_t(c.dim()));
    check_quantized(part == 0 ? queries.view : keys.view, expected, quantized_budget<T>(rotation));
  }
  BOOST_CHECK(leaves_the_rest(before, queries.values, queries.view.values));
}

template <class T, class Place>
void quantized_qk_agrees_with_its_oracle(const Place& on, int trials) {
  std::mt19937 engine(62);
  const index_t dims[] = {128, 64, 128, 0, 32};
  for (int trial = 0; trial < trials; ++trial) {
    const auto layout = trial % 3 == 0   ? QkLayout::padded
                        : trial % 3 == 1 ? QkLayout::head_major
                                         : QkLayout::token_major;
    const auto c = random_qk_case<T>(engine, dims[trial % 5], layout, false, random_int(engine, 1, 300),
                                     random_int(engine, 1, 3));
    check_quantized_qk(on, c, layout,
                       dims[trial % 5] != 0 && trial % 2 ? HeadRotation::hadamard : HeadRotation::none);
  }
}

/// More batch elements than a grid has blocks in z, in registers and in shared memory.
template <class Place>
void qk_norm_rope_of_many_batch_elements(const Place& on) {
  std::mt19937 engine(66);
  for (const index_t dim : {64, 32}) {
    auto c = random_qk_case<bf16>(engine, dim, QkLayout::token_major, true, 1, 1, 65'540);
    check_quantized_qk(on, c, QkLayout::head_major, HeadRotation::none);
    check_qk_norm_rope(on, c);
  }
}

/// So many heads that a block of threads makes several blocks of tokens, the last of them not full. The first
/// token has all of its norm in one channel, which is larger than whatever comes after it: no other block's
/// scale may know of it.
template <class Place>
void runs_of_blocks_do_not_mix(const Place& on) {
  std::mt19937 engine(64);
  auto c = random_qk_case<bf16>(engine, 64, QkLayout::head_major, false, 130, 1100);
  for (const int part : {0, 1}) {
    const auto& weight = part == 0 ? c.query_weight : c.key_weight;
    const auto largest = std::ranges::max_element(weight, {}, [](bf16 w) { return std::abs(float(w)); });
    const auto heads = rope_detail::packed_part(c.packed, part);
    for (index_t b = 0; b < c.batch; ++b)
      for (index_t h = 0; h < c.heads; ++h) {
        bf16* row = c.storage.data() + (heads.row(b, 0, h) - c.storage.data());
        std::fill_n(row, c.dim(), bf16(0.0f));
        row[largest - weight.begin()] = bf16(1.0f);
      }
  }
  QuantizedRoom queries(c, QkLayout::head_major), keys(c, QkLayout::head_major);
  apply(on, c, queries, keys, HeadRotation::none);
  for (const int part : {0, 1})
    check_quantized((part == 0 ? queries : keys).view, c.expected(part),
                    quantized_budget<bf16>(HeadRotation::none));
}

/// A head of zeros must come out as zeros with the least scale, not as 0/0.
template <class Place>
void a_block_of_zeros_has_the_least_scale(const Place& on) {
  std::mt19937 engine(63);
  auto c = random_qk_case<bf16>(engine, 128, QkLayout::head_major, false, 130, 2);
  std::fill(c.query_weight.begin(), c.query_weight.end(), bf16(0.0f));
  QuantizedRoom queries(c, QkLayout::head_major), keys(c, QkLayout::head_major);
  apply(on, c, queries, keys, HeadRotation::hadamard);
  BOOST_CHECK(
      std::ranges::all_of(queries.scales, [](float scale) { return scale == Fp8Scale::of(0).scale; }));
  BOOST_CHECK(std::ranges::all_of(gathered(queries.view.values), [](double value) { return value == 0; }));
}

/// Nothing is read or written: the views may have no data.
template <Execution E>
void qk_norm_rope_of_an_empty_tensor(E execution) {
  const Buffer<float> weight(48);
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit{24, 12, 12});
  const QkNorm<float> norm{weight.vector(), weight.vector()};
  for (const auto& [batch, tokens, heads] : {std::array<index_t, 3>{0, 8, 1}, {1, 0, 1}, {1, 8, 0}}) {
    const auto packed = HeadsView<float>::dense(nullptr, batch, tokens, heads, 3 * 48);
    const auto head = HeadsView<float>::dense(nullptr, batch, tokens, heads, 48);
    const auto quantized = QuantizedHeads<fp8_e4m3>::head_major(nullptr, nullptr, batch, tokens, heads, 48);
    qk_norm_rope(execution, packed, norm, table.view(), QkvOutput<float>{head, head, head});
    qk_norm_rope(execution, packed, norm, table.view(), QuantizedQkOutput{quantized, quantized});
  }
}

/// The views are never followed, so host memory serves every execution.
template <Execution E>
void qk_norm_rope_refuses_by_name(E execution) {
  const Buffer<float> values(8 * 3 * 48), weight(48);
  const Buffer<fp8_e4m3> bytes(8 * 48);
  const auto table = make_rope_table<float>(host, {2, 2, 2}, RopeSplit{24, 12, 12});
  const auto packed = HeadsView<float>::dense(values.data(), 1, 8, 1, 3 * 48);
  const auto head = HeadsView<float>::dense(values.data(), 1, 8, 1, 48);
  const QkNorm<float> norm{weight.vector(), weight.vector()};
  const auto quantized = QuantizedHeads<fp8_e4m3>::head_major(bytes.data(), values.data(), 1, 8, 1, 48);
  const auto refuses = [&](HeadsView<float> in, const QkNorm<float>& norms, const auto& out,
                           const char* text) {
    check_refused([&] { qk_norm_rope(execution, in, norms, table.view(), out); }, text);
  };
  const QkvOutput<float> both{head, head};
  refuses(head, norm, both, "a packed head has 48 channels and the table turns 48");
  refuses(packed, {{weight.data(), 47}, weight.vector()}, both, "weight has 47 elements");
  refuses(packed, norm, QkvOutput<float>{head, packed},
          "keys are (1, 8, 1, 144); packed needs (1, 8, 1, 48)");
  auto unscaled = quantized;
  unscaled.scales.tokens = 2;
  refuses(packed, norm, QuantizedQkOutput{quantized, unscaled},
          "keys are (1, 8, 1, 48) and their scales (1, 2, 1, 1)");
  refuses(packed, norm, QuantizedQkOutput{quantized, quantized, HeadRotation::hadamard},
          "heads of 48 channels have no Hadamard rotation");
  auto missing = packed, no_head = head;
  missing.data = no_head.data = nullptr;
  refuses(missing, norm, both, "qk_norm_rope: packed has no data for its 1152 elements");
  refuses(packed, {{nullptr, 48}, weight.vector()}, both, "the queries' weight has no data");
  refuses(packed, norm, QkvOutput<float>{head, no_head}, "qk_norm_rope: keys has no data");
  auto no_scales = quantized;
  no_scales.scales.data = nullptr;
  refuses(packed, norm, QuantizedQkOutput{no_scales, quantized}, "the queries' scales has no data");
}

}  // namespace stepvideo::testing
