// A block of the transformer in bf16 beside its equations in double, of any width on any execution.
#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include "model/noise_source.hpp"
#include "model/transformer.hpp"
#include "oracle/transformer.hpp"
#include "support/compare.hpp"

namespace stepvideo::testing {

/// Of a block in fp8, in units of the root mean square of what it adds: any element's error, and their root
/// mean square.
inline constexpr double fp8_block_worst = 0.5, fp8_block_error = 0.06;

/// What a pass of one block begins from and ends with, on the host.
struct BlockTrace {
  std::vector<double> before, after, adaln, clip, caption;
};

/// Fetches a BlockTrace from the memory of the execution.
template <class E>
struct BlockTap {
  E execution;
  BlockTrace* trace;

  template <class V>
  void operator()(const std::string& module, TokensView<V> view) const {
    if (module == "pos_embed") fetch(view, trace->before);
    if (module == "adaln_single") fetch(view, trace->adaln);
    if (module == "clip_projection") fetch(view, trace->clip);
    if (module == "caption_projection") fetch(view, trace->caption);
  }
  template <class V>
  void operator()(const char*, int, const std::string& part, TokensView<V> view) const {
    if (part.empty()) fetch(view, trace->after);
  }

 private:
  /// Of the one batch element, whose rows lie dense.
  template <class V>
  void fetch(TokensView<V> view, std::vector<double>& into) const {
    Buffer<std::remove_const_t<V>> values(view.tokens * view.width);
    download(execution, VectorView<V>{view.row(0, 0), values.size()}, values.data());
    into.assign(values.begin(), values.end());
  }
};

/// How far rows of a block with random weights are from its equations in double, every element of them.
struct BlockErrors {
  double worst = 0;  ///< of any element
  double root_mean_square = 0;
  double naive_worst =
      0;             ///< of a run of the equations that rounds to bf16 wherever the block stores a value
  double added = 0;  ///< what the block adds, root mean square
};

template <class E>
BlockErrors block_errors(E execution, HeadShape heads, LatentShape shape, const std::vector<index_t>& rows,
                         model::Quantization quantization = {}) {
  model::TransformerConfig config;
  config.heads = heads, config.layers = 1;
  config.llm_width = heads.width(), config.clip_width = 64;
  constexpr std::uint64_t seed = 7;
  constexpr index_t llm_tokens = 40, clip_tokens = 77, visible_llm_tokens = 23;
  const index_t tokens = shape.tokens(), width = heads.width();
  const auto expected = model::expected_tensors(config);

  BlockTrace trace;
  model::Transformer<bf16, E, BlockTap<E>> transformer(execution, config,
                                                       model::NoiseSource<E>(execution, expected, seed),
                                                       {.quantization = quantization}, {execution, &trace});
  std::uint64_t other_seed = seed;
  const auto noise = [&](index_t size) {
    Buffer<float, E> values(execution, size);
    fill_normal(execution, ++other_seed, 0, 1.0f, values.vector());
    return values;
  };
  const auto latents = noise(tokens * config.in_channels), velocity = noise(tokens * config.out_channels);
  const auto llm = noise(llm_tokens * config.llm_width), clip = noise(clip_tokens * config.clip_width);
  Buffer<float> host_times(1);
  host_times[0] = 0.3f;
  const auto times = transfer(execution, std::move(host_times));
  const index_t key_length = clip_tokens + visible_llm_tokens;
  auto text =
      transformer.prepare_text(TokensView<const float>::dense(llm.data(), 1, llm_tokens, config.llm_width),
                               TokensView<const float>::dense(clip.data(), 1, clip_tokens, config.clip_width),
                               std::vector{key_length});
  transformer.forward({latents.data(), 1, config.in_channels, shape}, times.vector(), text,
                      {velocity.data(), 1, config.out_channels, shape});

  // The same weights: their bits depend on seed and element alone.
  const model::NoiseSource<Host> weights(host, expected, seed);
  std::map<std::string, std::vector<double>> kept;
  oracle::Transformer exact{heads.count, heads.dim, 1, [&](const std::string& name) {
                              if (const auto known = kept.find(name); known != kept.end())
                                return known->second;
                              const auto at = std::ranges::find(expected, name, &io::ExpectedTensor::name);
                              std::vector<double> values;
                              if (at != expected.end()) {
                                const auto read = [&]<class T>(Buffer<T> buffer) {
                                  model::NoiseSource<Host>(weights).read(name, buffer.vector());
                                  values.assign(buffer.begin(), buffer.end());
                                };
                                const index_t size = io::element_count(at->shape);
                                if (model::stays_float32(name))
                                  read(Buffer<float>(size));
                                else
                                  read(Buffer<bf16>(size));
                              }
                              return kept[name] = values;
                            }};
  oracle::Transformer naive = exact;
  naive.stored = [](double value) { return double(float(bf16(static_cast<float>(value)))); };
  std::vector<double> sequence = trace.clip;
  sequence.insert(sequence.end(), trace.caption.begin(), trace.caption.end());
  sequence.resize(static_cast<std::size_t>(key_length * width));
  const auto of = [&](const oracle::Transformer& equations) {
    return equations.block("transformer_blocks.0.", trace.before, shape, trace.adaln, sequence, rows);
  };
  const std::vector<double> wanted = of(exact), rounded = of(naive);

  BlockErrors errors;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const auto before = static_cast<std::size_t>(rows[i / static_cast<std::size_t>(width)] * width) +
                        i % static_cast<std::size_t>(width);
    errors.naive_worst = std::max(errors.naive_worst, std::abs(rounded[i] - wanted[i]));
    errors.added += std::pow(wanted[i] - trace.before[before], 2);
    const double error = std::abs(trace.after[before] - wanted[i]);
    if (!(error <= errors.worst)) errors.worst = error;  // NaN stays
    errors.root_mean_square += error * error;
  }
  const auto mean_root = [&](double squares) {
    return std::sqrt(squares / static_cast<double>(wanted.size()));
  };
  errors.added = mean_root(errors.added), errors.root_mean_square = mean_root(errors.root_mean_square);
  BOOST_TEST_MESSAGE("largest error " << errors.worst << ", of a naive run " << errors.naive_worst
                                      << "; root mean square " << errors.root_mean_square
                                      << "; the block adds " << errors.added);
  return errors;
}

/// In bf16 they are as near as the naive run, but for a factor of two, which leaves none wrong: what is
/// allowed is a small part of what the block adds.
template <class E>
void a_block_is_as_near_to_its_equations_as_a_naive_run(E execution, HeadShape heads, LatentShape shape,
                                                        const std::vector<index_t>& rows) {
  const BlockErrors errors = block_errors(execution, heads, shape, rows);
  BOOST_CHECK_MESSAGE(errors.worst <= 2 * errors.naive_worst, "an element is off by "
                                                                  << errors.worst << ", of a naive run by "
                                                                  << errors.naive_worst);
  BOOST_CHECK_LT(2 * errors.naive_worst, 0.2 * errors.added);
}

/// In fp8 within bounds that are parts of what the block adds.
template <class E>
void a_block_in_fp8_stays_near_its_equations(E execution, HeadShape heads, LatentShape shape,
                                             const std::vector<index_t>& rows,
                                             const std::vector<model::Fp8Parts>& of) {
  for (const auto& [products, attention] : of) {
    const BlockErrors errors =
        block_errors(execution, heads, shape, rows, model::Quantization::of(1, products, attention));
    BOOST_CHECK_MESSAGE(errors.worst <= fp8_block_worst * errors.added,
                        "an element is off by " << errors.worst << " of " << errors.added);
    BOOST_CHECK_LT(errors.root_mean_square, fp8_block_error * errors.added);
    // fp8 is what ran.
    BOOST_CHECK_GT(errors.root_mean_square, errors.naive_worst / 8);
  }
}

}  // namespace stepvideo::testing
