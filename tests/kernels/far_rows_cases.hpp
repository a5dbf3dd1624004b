// Rows so far apart that their indices pass 2^31, for any execution: each kernel gives them the bits that it
// gives the same rows side by side, which other tests hold to the oracles.
#pragma once
#include <cstdint>

#include <boost/test/unit_test.hpp>

#include <stepvideo/kernels/elementwise/convert.hpp>
#include <stepvideo/kernels/elementwise/embed.hpp>
#include <stepvideo/kernels/elementwise/quantize_rows.hpp>
#include <stepvideo/kernels/norm/gated_layer_norm.hpp>
#include <stepvideo/kernels/norm/gated_residual.hpp>
#include <stepvideo/kernels/norm/rms_norm.hpp>
#include <stepvideo/kernels/rope/qk_norm_rope.hpp>

#include "support/far_memory.hpp"

namespace stepvideo::testing {

/// A batch of two with two tokens: 2^30 elements apart, the last row begins at 3 x 2^30. Once on the grid of
/// wide accesses, once off it.
template <class Check>
void with_far_rows(Check&& check) {
  const index_t far = index_t{1} << 30;
  check(index_t{48}, far);
  check(index_t{42}, far + 1);
}
inline constexpr index_t far_batch = 2, far_tokens = 2;

/// The bytes that the cases need at once where all of the memory exists: three tensors of up to four bytes.
inline constexpr std::size_t far_rows_bytes = 3 * (std::size_t{4} << 32) + (std::size_t{1} << 30);

/// `kernel(in, out)` of rows of In and of Out.
template <class In, class Out, Execution E, class Kernel>
void check_far_rows(E on, Kernel&& kernel) {
  std::mt19937 engine(81);
  with_far_rows([&](index_t width, index_t apart) {
    const auto in = random_normal<In>(far_batch * far_tokens * width, engine, 2.0f);
    const auto near_in = place(on, in);
    const auto near = place(on, poisoned<Out>(in.size()));
    kernel(TokensView<In>::dense(near_in.data(), far_batch, far_tokens, width),
           TokensView<Out>::dense(near.data(), far_batch, far_tokens, width));
    const FarRows<In, E> far_in(on, in, far_batch, far_tokens, apart);
    const FarRows<Out, E> far_out(on, poisoned<Out>(in.size()), far_batch, far_tokens, apart);
    kernel(far_in.view(), far_out.view());
    synchronize(on);
    BOOST_CHECK(same_bits(far_out.dense(), fetch(on, near)));
    BOOST_CHECK(same_bits(far_in.dense(), fetch(on, near_in)));  // where a kernel writes both
  });
}

template <class T>
HeadsView<T> two_heads(const TokensView<T>& rows) {
  return {rows.data,      rows.batch,        rows.tokens,       2,
          rows.width / 2, rows.batch_stride, rows.token_stride, rows.width / 2};
}

template <Execution E>
void far_rows_of_norms(E on) {
  std::mt19937 engine(82);
  const auto weight = place(on, random_normal<bf16>(48, engine));
  check_far_rows<float, bf16>(
      on, [&](auto in, auto out) { layer_norm(on, in, LayerNormTerms<bf16>{}, 1e-5f, out); });
  check_far_rows<bf16, bf16>(on, [&](auto in, auto out) {
    rms_norm(on, HeadsView<const bf16>(two_heads(in)), VectorView<const bf16>{weight.data(), in.width / 2},
             1e-6f, two_heads(out));
  });
  const auto rounded = place(on, Buffer<bf16>(far_batch * far_tokens * 48));
  check_far_rows<bf16, float>(on, [&](auto delta, auto stream) {
    const auto near = TokensView<bf16>::dense(rounded.data(), far_batch, far_tokens, delta.width);
    convert(on, TokensView<const bf16>(delta), stream);
    gated_residual(on, delta, MatrixView<const float>{}, stream, near);
    gated_residual_layer_norm(on, delta, MatrixView<const float>{}, stream, LayerNormTerms<bf16>{}, 1e-5f,
                              near);
  });
  check_far_rows<float, bf16>(on, [&](auto stream, auto out) {
    const auto near = TokensView<bf16>::dense(rounded.data(), far_batch, far_tokens, stream.width);
    convert(on, TokensView<const float>(stream), near);
    gated_residual(on, near, MatrixView<const float>{}, stream, out);
  });
}

template <Execution E>
void far_rows_of_elementwise_kernels(E on) {
  check_far_rows<float, bf16>(
      on, [&](auto in, auto out) { convert(on, TokensView<const float>(in), out, Silu{}); });
  const auto scales = place(on, Buffer<float>(far_batch * far_tokens));
  check_far_rows<float, fp8_e4m3>(on, [&](auto in, auto out) {
    quantize_rows(on, in, ScaledTokensView{out, scales.vector()});
  });
  check_far_rows<bf16, fp8_e4m3>(on, [&](auto in, auto out) {
    layer_norm(on, in, LayerNormTerms<bf16>{}, 1e-5f, ScaledTokensView{out, scales.vector()});
  });
  // The rows are the words.
  Buffer<std::int32_t> chosen(far_batch * far_tokens);
  for (index_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<std::int32_t>(3 - i);
  const auto ids = place(on, chosen);
  check_far_rows<bf16, bf16>(on, [&](auto words, auto out) {
    embed(on, MatrixView<const std::int32_t>(ids.matrix(far_batch, far_tokens)),
          {.words = {words.data, far_batch * far_tokens, words.width, words.token_stride}}, out);
  });
}

template <Execution E>
void far_rows_of_rotations(E on) {
  std::mt19937 engine(83);
  const LatentShape shape{1, 1, 2};
  const auto weight = place(on, random_normal<bf16>(48, engine));
  check_far_rows<bf16, bf16>(on, [&](auto in, auto) {
    const int dim = static_cast<int>(in.width) / 2;  // even parts of 24 and of 21, one channel left out
    const auto table = make_rope_table<float>(on, shape, {dim / 2 / 2 * 2, dim / 4 / 2 * 2, dim / 4 / 2 * 2});
    auto heads = two_heads(in);
    heads.dim = table.view().dim;
    rope3d(on, heads, table.view());
    synchronize(on);
  });
  check_far_rows<bf16, bf16>(on, [&](auto in, auto out) {
    const auto table = make_rope_table<float>(on, shape, {2, 2, 2});
    const QkNorm<bf16> norm{{weight.data(), 6}, {weight.data(), 6}};
    const HeadsView<bf16> packed{in.data, in.batch, in.tokens, 2, 18, in.batch_stride, in.token_stride, 18};
    HeadsView<bf16> queries{out.data, out.batch, out.tokens, 2, 6, out.batch_stride, out.token_stride, 18};
    auto keys = queries, values = queries;
    keys.data += 6, values.data += 12;
    qk_norm_rope(on, packed, norm, table.view(), QkvOutput<bf16>{queries, keys, values});
    synchronize(on);
  });
}

}  // namespace stepvideo::testing
