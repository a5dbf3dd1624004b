#include "plan/cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/comm/mesh.hpp>
#include <stepvideo/core/error.hpp>
#include <stepvideo/core/quantized.hpp>

#include "model/transformer_layout.hpp"
#include "model/vae_deal.hpp"
#include "plan/collectives.hpp"
#include "plan/rank_share.hpp"

namespace stepvideo::plan {
namespace {

constexpr double float_bytes = 4;
/// Layers whose weights are in the device at once when weights are streamed: one in work, one on its way.
constexpr double streamed_layers = 2;

double seconds_of(const Work& work, const Request& request) {
  const Rates& rates = request.hardware.at(request.arithmetic);
  const double seconds = work.linear_flops / rates.linear +
                         work.attention_flops / request.hardware.at(request.attends()).attention +
                         work.convolution_flops / rates.convolution +
                         work.moved_bytes / request.hardware.memory_bytes_per_second;
  return seconds / request.calibration;
}

/// The transformer on the busiest rank.
class DenoiseCost {
 public:
  DenoiseCost(const Request& request, const ParameterCounts& parameters, Topology topology)
      : request_(request), parameters_(parameters), topology_(topology), share_(request, topology) {}

  /// Fills in everything about a step, and the phase.
  void add_to(Cost& cost) const {
    const double layer_seconds = batch() * seconds(layer(share_.layer()));
    const double edge_seconds = batch() * seconds(edge(share_.layer().tokens));
    cost.compute_seconds = layers() * layer_seconds + edge_seconds;
    cost.imbalance = cost.compute_seconds / mean_compute_seconds() - 1;

    Work attention = layer(share_.layer());
    attention.linear_flops = attention.moved_bytes = 0;
    cost.collectives = collectives_of(request_, topology_, share_,
                                      {.layer_seconds = layer_seconds,
                                       .attention_seconds = batch() * seconds(attention),
                                       .step_seconds = cost.compute_seconds});
    for (const auto& collective : cost.collectives) {
      cost.exposed_seconds += static_cast<double>(collective.calls) * collective.exposed_seconds;
      cost.wire_bytes += static_cast<double>(collective.calls) * collective.bytes;
    }
    if (request_.streams_weights) {
      const double fetched = layer_weight_bytes() / request_.hardware.host_bytes_per_second;
      cost.stream_seconds = layers() * std::max(0.0, fetched - layer_seconds);
    }
    cost.step_seconds = cost.compute_seconds + cost.exposed_seconds + cost.stream_seconds;
    cost.phases.push_back(phase(cost.step_seconds));
  }

 private:
  /// Ranks of a host, or on one GPU, are equal parts of it: each has that part of its processor and of its
  /// memory.
  double sharers() const {
    return request_.hardware.is_host ? static_cast<double>(topology_.ranks())
                                     : request_.hardware.ranks_on_each;
  }
  double seconds(const Work& work) const { return sharers() * seconds_of(work, request_); }

  double layers() const { return request_.shapes.transformer.layers; }
  double width() const { return request_.shapes.transformer.width(); }
  /// The prompt and the negative prompt, unless they are on different ranks.
  double batch() const { return share_.batch(); }
  double text_tokens() const { return request_.shapes.text_tokens(); }

  Work layer(const LayerShare& share) const {
    return layer_work(request_.shapes.transformer, share, text_tokens(), element_bytes(request_.arithmetic));
  }
  Work edge(double tokens) const { return edge_work(request_.shapes.transformer, tokens); }

  /// Were every token and head divided exactly.
  double mean_compute_seconds() const {
    const LayerShare mean = share_.mean_layer();
    return batch() * (layers() * seconds(layer(mean)) + seconds(edge(mean.tokens)));
  }

  double layer_weight_bytes() const {
    return static_cast<double>(model::BlockSlab(request_.shapes.transformer, share_.block(),
                                                static_cast<std::size_t>(element_bytes(request_.arithmetic)),
                                                request_.arithmetic == Arithmetic::fp8)
                                   .bytes());
  }
  model::Fp8Parts fp8() const {
    return {request_.arithmetic == Arithmetic::fp8, request_.attends() == Arithmetic::fp8};
  }
  double weight_bytes() const {
    const double rounded =
        parameters_.transformer - parameters_.transformer_blocks - parameters_.transformer_float32;
    const double held = request_.streams_weights ? std::min(streamed_layers, layers()) : layers();
    return rounded * element_bytes(request_.arithmetic) + parameters_.transformer_float32 * float_bytes +
           held * layer_weight_bytes();
  }

  /// What the executor lays out, and how: the prompts together and their text kept where that fits, the
  /// prompts one after the other and their text made again where not; beside it latents, inputs and
  /// velocities.
  double activation_bytes() const {
    const auto& config = request_.shapes.transformer;
    const auto element = static_cast<std::size_t>(element_bytes(request_.arithmetic));
    const LayerShare layer = share_.layer();
    const double sampled = static_cast<double>(request_.video.tokens()) * float_bytes * config.in_channels;
    const double beside = (1 + 2 * batch()) * sampled;

    const auto spare = [&](double taken) {
      constexpr double most = 1e18;  // a std::size_t has room for it
      return static_cast<std::size_t>(
          std::clamp(request_.hardware.memory_bytes / sharers() - taken, 0.0, most));
    };
    const double held = weight_bytes() + buffer_bytes() + beside;
    model::TransformerShare share{static_cast<index_t>(batch()), static_cast<index_t>(layer.tokens),
                                  share_.block()};
    const model::TransformerShare prompts = share;
    share = model::share_that_fits(config, share, element, fp8(), spare(held));
    const auto written = static_cast<double>(model::TransformerLayout(config, share, element, fp8()).bytes());
    const model::TextLayout text(config, prompts, request_.shapes.text_tokens(), element,
                                 spare(held + written));
    return beside + written + static_cast<double>(text.bytes());
  }

  double buffer_bytes() const {
    const LayerShare layer = share_.layer();
    const double element = element_bytes(request_.arithmetic);
    const double attended =
        batch() * layer.attended_queries * layer.attended_heads * request_.shapes.transformer.heads.dim;
    double bytes = request_.hardware.reserved_bytes;
    if (topology_.ranks() > 1) bytes += request_.link.buffer_bytes;
    // As AttentionAcrossRanks lays them out: queries, keys and values, as they are attended with and as they
    // are sent; the ring's next keys and values, its sum and what is added to that.
    if (topology_.token_shards() > 1) bytes += 3 * attended * element;
    if (topology_.ulysses > 1) bytes += 3 * attended * element;
    if (topology_.ring > 1) bytes += attended * (2 * element + 2 * float_bytes);
    return bytes;
  }

  PhaseCost phase(double step_seconds) const {
    const auto& config = request_.shapes.transformer;
    const double tokens = static_cast<double>(request_.video.tokens());
    const Work whole = layers() * layer(LayerShare::whole(config, tokens)) + edge(tokens);
    constexpr double prompts = 2;
    return {.name = "denoise",
            .weight_bytes = sharers() * weight_bytes(),
            .activation_bytes = sharers() * activation_bytes(),
            .buffer_bytes = sharers() * buffer_bytes(),
            .seconds = request_.steps * step_seconds,
            .flops = request_.steps * prompts * whole.flops(),
            .ranks = static_cast<int>(topology_.ranks())};
  }

  const Request& request_;
  const ParameterCounts& parameters_;
  Topology topology_;
  RankShare share_;
};

}  // namespace

double element_bytes(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp32 ? 4 : 2;
}

long long token_granule(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::fp8 ? quantization_block_tokens : 1;
}

const PhaseCost& Cost::peak_phase() const {
  return *std::ranges::max_element(phases, {}, &PhaseCost::bytes);
}

const PhaseCost* Cost::phase(const std::string& name) const {
  const auto found = std::ranges::find(phases, name, &PhaseCost::name);
  return found == phases.end() ? nullptr : &*found;
}

CostModel::CostModel(Request request)
    : request_(std::move(request)),
      parameters_(count_parameters(request_.shapes)),
      text_work_(text_work(request_.shapes)) {
  request_.hardware.at(request_.arithmetic);
}

CostModel CostModel::with(VideoShape video, bool streams_weights) const {
  CostModel other = *this;
  other.request_.video = video;
  other.request_.streams_weights = streams_weights;
  return other;
}

PhaseCost CostModel::text_phase() const {
  const auto& llm = request_.shapes.step_llm;
  const double element = element_bytes(request_.arithmetic);
  // One encoder after the other; CLIP is float32 always.
  const double words = static_cast<double>(llm.vocabulary) * llm.width();
  const double layers = parameters_.step_llm - words;
  const double held =
      request_.streams_weights ? layers * std::min(1.0, streamed_layers / llm.layers) : layers;
  const double llm_bytes = (words + held) * element, clip_bytes = parameters_.clip * float_bytes;
  constexpr double prompts = 2;
  const double token =
      (3.0 * llm.width() + 2.0 * llm.groups * llm.heads.dim + 2.0 * llm.feed_forward) * element;
  const double fetched =
      request_.streams_weights ? layers * element / request_.hardware.host_bytes_per_second : 0;
  const double read =
      (parameters_.step_llm * element + clip_bytes) / request_.hardware.memory_bytes_per_second;
  return {.name = "text encoders",
          .weight_bytes = std::max(llm_bytes, clip_bytes),
          .activation_bytes = prompts * request_.shapes.llm_tokens * token,
          .buffer_bytes = request_.hardware.reserved_bytes,
          .seconds = std::max({seconds_of(text_work_, request_), read, fetched}),
          .flops = text_work_.flops()};
}

PhaseCost CostModel::decode_phase(int ranks) const {
  using namespace model::vae;
  const bool is_host = request_.hardware.is_host;
  const double element = element_bytes(request_.arithmetic);
  const Work chunk = decode_work(request_.shapes.vae, request_.video, element);
  const int chunks = request_.video.chunks(), most = decoders_for(chunks, ranks);
  const double weights = (parameters_.vae_decoder + parameters_.vae_doubling) * element;
  const double latents = static_cast<double>(request_.video.tokens()) * float_bytes *
                         static_cast<double>(request_.shapes.vae.latent_channels);
  // A chunk as it leaves, floats at the most, on each rank of a host, and another's on rank 0; a GPU's are in
  // the host's memory.
  const double frames =
      is_host ? 3.0 * float_bytes * VideoShape::chunk_frames * request_.video.height * request_.video.width
              : 0;
  const MemoryLimit limit = request_.vae_memory.value_or(MemoryLimit::usual(!is_host));
  const auto rooms = [&](const MemoryLimit& of_each) {
    return decode_activation_bytes(request_.shapes.vae, request_.video, element, !is_host, of_each);
  };
  const int fitting = is_host ? decoders_that_fit(most, request_.hardware.memory_bytes,
                                                  weights + latents + frames, limit, rooms)
                              : most;
  const int decoders = decoders_for(chunks, fitting), sharers = is_host ? decoders : 1;
  const int turns = (chunks + decoders - 1) / decoders;
  return {.name = "decode",
          .weight_bytes = sharers * weights,
          .activation_bytes =
              sharers * (rooms(is_host ? limit_of_each(limit, decoders) : limit) + latents + frames) +
              (decoders > 1 ? frames : 0),
          .buffer_bytes = request_.hardware.reserved_bytes,
          // Chunks are independent. Ranks of a host share its processor, the last turn's among them.
          .seconds = (is_host ? chunks : turns) * seconds_of(chunk, request_),
          .flops = chunks * chunk.flops(),
          .ranks = decoders,
          .turns = turns,
          .has_memory_for_more_ranks = fitting == most};
}

double CostModel::least_bytes() const {
  return std::max(request_.encodes_text ? text_phase().bytes() : 0,
                  request_.decodes ? decode_phase(1).bytes() : 0);
}

Cost CostModel::operator()(Topology topology) const {
  const std::string rule = rule_against(request_, topology);
  require(rule.empty(), [&] { return rule; });
  Cost cost{.topology = topology, .streams_weights = request_.streams_weights};
  if (request_.encodes_text) cost.phases.push_back(text_phase());
  DenoiseCost(request_, parameters_, topology).add_to(cost);
  if (request_.decodes) cost.phases.push_back(decode_phase(Mesh{topology}.ranks()));
  for (const auto& phase : cost.phases) cost.total_seconds += phase.seconds;
  return cost;
}

std::string rule_against(const Request& request, Topology topology) {
  try {
    require_degrees_are_positive(topology);
    require(request.is_guided || topology.guidance == 1, [] {
      return "guidance=2 is for a negative prompt, and with --cfg-scale 1 there is none; take guidance=1";
    });
    require_heads_shard_across_ranks(request.shapes.transformer.heads, topology);
    require_tokens_shard_across_ranks(request.video.tokens(), topology, token_granule(request.arithmetic));
    return {};
  } catch (const RequestError& error) {
    return error.what();
  }
}

Cost cost_of(const Request& request, Topology topology) {
  return CostModel(request)(topology);
}

}  // namespace stepvideo::plan
