#include "plan/model_work.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"
#include "model/vae_memory.hpp"

namespace stepvideo::plan {
namespace {

constexpr double float_bytes = 4;
/// A prompt and a negative prompt.
constexpr double prompts = 2;

double elements(const io::Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), 1.0, std::multiplies<>{});
}

/// Elements of the tensors whose name `counts` accepts.
double count_elements(const std::vector<io::ExpectedTensor>& tensors, const auto& counts) {
  double sum = 0;
  for (const auto& tensor : tensors)
    if (counts(tensor.name)) sum += elements(tensor.shape);
  return sum;
}

/// The work between the decoder's rooms, as model/vae_decoder.hpp does it.
template <Element T>
class DecoderWork {
 public:
  explicit DecoderWork(const model::vae::DecoderRooms<T>& at) {
    repeat(at.latents, at.repeated);
    convolve(at.latents, at.stem, 27);
    convolve(at.stem, at.patches, 27);
    repeat(at.patches, at.shuffled);
    repeat(at.stem, at.shuffled);
    residual(at.middle.block_1);
    attend(at.middle.attention);
    residual(at.middle.block_2);
    for (const auto& block : at.level_3) residual(block);
    upsample(at.upsample_3);
    for (const auto& block : at.level_2) residual(block);
    // All frames together: what runs of frames copy beside is little.
    const auto coarse = at.tail.coarse(0, at.coarse.frames);
    upsample(coarse.upsample);
    for (const auto& block : coarse.blocks) residual(block);
    const auto fine = at.tail.fine(coarse, 0, coarse.narrow.frames);
    // After a doubling: two by two taps for each place.
    fine.widened.visit([&](auto widened) { convolve(fine.narrow, widened, 4); });
    for (const auto& block : fine.blocks) residual(block);
    norm(fine.last, fine.normed);
    convolve(fine.normed, at.pixels, 27);
  }

  const Work& work() const { return work_; }

 private:
  template <class In, class Out>
  void convolve(const VideoView<In>& in, const VideoView<Out>& out, double taps) {
    work_.convolution_flops += 2 * static_cast<double>(out.size() * in.channels) * taps;
    move(in);
    move(out);
  }
  /// Read twice (moments, then values), written once.
  template <class In, class Out>
  void norm(const VideoView<In>& in, const VideoView<Out>& out) {
    move(in);
    move(in);
    move(out);
  }
  template <class In, class Out>
  void repeat(const VideoView<In>& in, const VideoView<Out>& out) {
    move(in);
    move(out);
  }
  void residual(const model::vae::ResidualRooms<T>& at) {
    at.in.visit([&](auto in) { norm(in, at.normed_in); });
    convolve(at.normed_in, at.hidden, 27);
    norm(at.hidden, at.normed);
    if (at.has_shortcut()) convolve(at.in.narrow, at.sum, 1);
    at.out.visit([&](auto out) { convolve(at.normed, out, 27); });
    move(at.sum);  // the residual
  }
  /// One head over all pixels, causal: half of the products.
  void attend(const model::vae::AttentionRooms<T>& at) {
    norm(at.stream, at.normed);
    convolve(at.normed, at.packed, 1);
    work_.attention_flops +=
        2 * static_cast<double>(at.stream.pixels()) * static_cast<double>(at.stream.size());
    move(at.packed);
    move(at.attended);
    convolve(at.attended, at.stream, 1);
    move(at.stream);
  }
  /// After a doubling, two by two by two taps for each place.
  void upsample(const model::vae::VolumeUpsampleRooms<T>& at) {
    convolve(at.in, at.hidden, 8);
    norm(at.hidden, at.normed);
    convolve(at.normed, at.hidden, 27);
    at.out.visit([&](auto out) { norm(at.hidden, out); });
    repeat(at.in, at.in);  // added twice, in one pass
  }
  template <class Value>
  void move(const VideoView<Value>& video) {
    work_.moved_bytes += static_cast<double>(video.size()) * sizeof(Value);
  }

  Work work_;
};

/// Calls `function` with the element that is `element_bytes` long where the decoder rounds, and the latent of
/// one chunk (or image).
template <class Function>
auto with_decoded_chunk(VideoShape video, double element_bytes, Function&& function) {
  LatentShape chunk = video.latent();
  chunk.frames = std::min(chunk.frames, VideoShape::chunk_latent_frames);
  if (element_bytes == sizeof(float)) return function.template operator()<float>(chunk);
  return function.template operator()<bf16>(chunk);
}

Work step_llm_work(const model::StepLlmConfig& config, double tokens) {
  const double width = config.width(), hidden = config.feed_forward;
  const double packed = width + 2.0 * config.groups * config.heads.dim;
  return config.layers * Work{.linear_flops = 2 * tokens * width * (packed + width + 3 * hidden),
                              .attention_flops = 2 * tokens * tokens * width};
}

Work clip_work(const model::ClipTextConfig& config) {
  const double width = config.width(), tokens = config.positions;
  return config.layers * Work{.linear_flops = 2 * tokens * width * (4 * width + 2.0 * config.feed_forward),
                              .attention_flops = 4 * tokens * tokens * width};
}

/// The text as the transformer prepares it once per prompt: both projections, every layer's keys and values.
Work prepared_text_work(const ModelShapes& shapes) {
  const double width = shapes.transformer.width();
  const double projections = shapes.llm_tokens * width * (shapes.transformer.llm_width + width) +
                             shapes.clip.positions * width * shapes.transformer.clip_width;
  return {.linear_flops =
              2 * (projections + shapes.transformer.layers * shapes.text_tokens() * 2 * width * width)};
}

}  // namespace

ModelShapes ModelShapes::of(const std::filesystem::path& model) {
  using io::Component, io::find_component;
  ModelShapes shapes;
  shapes.transformer =
      model::read_transformer_config(find_component(model, Component::transformer) / "config.json");
  shapes.step_llm = model::read_step_llm_config(find_component(model, Component::step_llm) / "config.json");
  shapes.clip =
      model::read_clip_text_config(find_component(model, Component::clip_text_encoder) / "config.json");
  shapes.vae = model::VaeConfig::of(io::Checkpoint::open(find_component(model, Component::vae)));
  return shapes;
}

ParameterCounts count_parameters(const ModelShapes& shapes) {
  const auto all = [](const std::string&) { return true; };
  const auto starting = [](const char* prefix) {
    return [prefix](const std::string& name) { return name.starts_with(prefix); };
  };
  // Of a block, tensor parallelism divides the matrices; norms and modulations stay whole.
  const auto divided = [](const std::string& name) {
    return name.starts_with("transformer_blocks.") &&
           (name.find(".w") != name.npos || name.find(".ff.") != name.npos) && name.find("norm") == name.npos;
  };
  // A convolution after a doubling holds a weight of 2 x 2 x 2 (2 x 2) taps for each output place.
  const auto doubled_in_volume = [](const std::string& name) {
    return name.ends_with(".upsample.conv3d.conv1.conv.weight");
  };
  const auto doubled_in_space = [](const std::string& name) {
    return name == "decoder.up.1.upsample.conv.weight";
  };
  const auto transformer = expected_tensors(shapes.transformer);
  const auto vae = expected_tensors(shapes.vae);
  return {.transformer = count_elements(transformer, all),
          .transformer_blocks = count_elements(transformer, divided),
          .transformer_float32 = count_elements(transformer, model::stays_float32),
          .step_llm = count_elements(expected_tensors(shapes.step_llm), all),
          .clip = count_elements(expected_tensors(shapes.clip), all),
          .vae_decoder = count_elements(vae, starting("decoder.")),
          .vae_encoder = count_elements(vae, starting("encoder.")),
          .vae_doubling = count_elements(vae, doubled_in_volume) * (64.0 / 27 - 1) +
                          count_elements(vae, doubled_in_space) * (16.0 / 9 - 1)};
}

Work& Work::operator+=(const Work& other) {
  linear_flops += other.linear_flops;
  attention_flops += other.attention_flops;
  convolution_flops += other.convolution_flops;
  moved_bytes += other.moved_bytes;
  return *this;
}

Work operator*(double factor, const Work& work) {
  return {factor * work.linear_flops, factor * work.attention_flops, factor * work.convolution_flops,
          factor * work.moved_bytes};
}

LayerShare LayerShare::whole(const model::TransformerConfig& config, double tokens) {
  const double heads = config.heads.count;
  return {.tokens = tokens,
          .heads = heads,
          .feed_forward = static_cast<double>(config.feed_forward_factor) * config.width(),
          .attended_queries = tokens,
          .attended_keys = tokens,
          .attended_heads = heads,
          .merges = 0};
}

Work layer_work(const model::TransformerConfig& config, const LayerShare& share, double text_tokens,
                double element_bytes) {
  const double width = config.width(), dim = config.heads.dim;
  const double local = share.heads * dim;
  // wqkv, wo, attn2.wq, attn2.wo of the local heads; both feed-forward products of the local columns.
  const double columns = 6 * local + 2 * share.feed_forward;
  const double attended = share.attended_queries * share.attended_keys * share.attended_heads;
  const double cross = share.tokens * text_tokens * share.heads;
  // Three times what a product adds to the float32 stream is read, the sum read and written, and a norm or a
  // rounding of it written; queries and keys normed in place, and cross-attention's queries.
  const double stream = 3 * width * (2 * float_bytes + 2 * element_bytes);
  const double heads = local * 3 * 2 * element_bytes;
  const double merged = share.attended_queries * share.attended_heads * dim * 2 * float_bytes * share.merges;
  return {.linear_flops = 2 * share.tokens * width * columns,
          .attention_flops = 4 * dim * (attended + cross),
          .moved_bytes = share.tokens * (stream + heads) + merged};
}

Work edge_work(const model::TransformerConfig& config, double tokens) {
  const double width = config.width(), channels = config.in_channels + config.out_channels;
  return {.linear_flops = 2 * tokens * width * channels,
          .moved_bytes = tokens * (3 * float_bytes * width + float_bytes * channels)};
}

Work text_work(const ModelShapes& shapes) {
  return prompts * (step_llm_work(shapes.step_llm, shapes.llm_tokens) + clip_work(shapes.clip) +
                    prepared_text_work(shapes));
}

Work decode_work(const model::VaeConfig& config, VideoShape video, double element_bytes) {
  return with_decoded_chunk(video, element_bytes, [&]<Element T>(LatentShape chunk) {
    return DecoderWork<T>(model::vae::DecoderRooms<T>::lay_out(config, chunk)).work();
  });
}

double decode_activation_bytes(const model::VaeConfig& config, VideoShape video, double element_bytes,
                               bool on_gpu, const model::vae::MemoryLimit& limit) {
  return with_decoded_chunk(video, element_bytes, [&]<Element T>(LatentShape chunk) {
    const auto together = model::vae::decoder_frames_together<T>(config, chunk, on_gpu, limit);
    return static_cast<double>(
        model::vae::chunk_bytes(model::vae::DecoderRooms<T>::lay_out(config, chunk, together), on_gpu));
  });
}

}  // namespace stepvideo::plan
