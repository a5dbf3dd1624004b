#include "plan/model_work.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"

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

/// Follows a video through the decoder as model/vae_decoder.hpp runs it, and adds up.
class DecoderWalk {
 public:
  DecoderWalk(const model::VaeConfig& config, VideoShape video, double element_bytes)
      : element_bytes_(element_bytes) {
    const LatentShape latent = video.latent();
    const bool is_image = video.is_image();
    frames_ = is_image ? 1 : VideoShape::chunk_latent_frames;
    height_ = latent.height, width_ = latent.width;
    run(config);
  }

  const Work& work() const { return work_; }
  double bytes() const { return current_ + first_ + second_; }

 private:
  double pixels() const { return frames_ * height_ * width_; }

  void run(const model::VaeConfig& config) {
    const auto& decoder = config.decoder;
    stem(static_cast<double>(config.latent_channels), static_cast<double>(decoder.stem_width),
         static_cast<double>(decoder.mid_width));
    residual(channels_);
    attend();
    residual(channels_);
    for (int level = model::VaeConfig::levels - 1; level >= 0; --level) {
      const auto at = static_cast<std::size_t>(level);
      for (int block = 0; block < decoder.up.blocks[at]; ++block)
        residual(static_cast<double>(decoder.up.widths[at]));
      if (level >= 2) upsample_volume();
      if (level == 1) upsample_space();
    }
    hold(first_, channels_, element_bytes_);
    norm(channels_);
    convolve(channels_, 3, 27);
  }

  void stem(double latent_channels, double stem_width, double mid_width) {
    hold(first_, latent_channels, float_bytes);
    hold(current_, stem_width, float_bytes);
    hold(second_, stem_width, float_bytes);
    convolve(latent_channels, stem_width, 27);
    hold(first_, 8 * mid_width, float_bytes);
    convolve(stem_width, 8 * mid_width, 27);
    frames_ = 2 * frames_ - 1, height_ *= 2, width_ *= 2, channels_ = mid_width;
    hold(second_, mid_width, float_bytes);
    move(3 * float_bytes * mid_width);  // both shuffles, added
    std::swap(current_, second_);
  }

  void residual(double out) {
    hold(first_, channels_, element_bytes_);
    norm(channels_);
    hold(second_, out, float_bytes);
    convolve(channels_, out, 27);
    hold(first_, out, element_bytes_);
    norm(out);
    if (out != channels_) {
      convolve(channels_, out, 1);
      std::swap(current_, second_);
    }
    convolve(out, out, 27);
    move(float_bytes * out);
    channels_ = out;
  }

  /// One head over all pixels, causal: half of the products.
  void attend() {
    hold(first_, channels_, float_bytes);
    hold(second_, 3 * channels_, float_bytes);
    norm(channels_);
    convolve(channels_, 3 * channels_, 1);
    work_.attention_flops += 2 * pixels() * pixels() * channels_;
    convolve(channels_, channels_, 1);
  }

  void upsample_volume() {
    frames_ *= 2, height_ *= 2, width_ *= 2;
    hold(second_, channels_, float_bytes);
    convolve(channels_, channels_, 8);
    hold(first_, channels_, element_bytes_);
    norm(channels_);
    convolve(channels_, channels_, 27);
    norm(channels_);
    move(2 * float_bytes * channels_);
    std::swap(current_, second_);
  }

  void upsample_space() {
    height_ *= 2, width_ *= 2;
    hold(first_, channels_, float_bytes);
    convolve(channels_, channels_, 4);
    std::swap(current_, first_);
  }

  void hold(double& storage, double channels, double bytes) const {
    storage = std::max(storage, pixels() * channels * bytes);
  }
  void move(double bytes_of_pixel) { work_.moved_bytes += pixels() * bytes_of_pixel; }
  /// Read twice (moments, then values), written once.
  void norm(double channels) { move((2 * float_bytes + element_bytes_) * channels); }
  void convolve(double in, double out, double taps) {
    work_.convolution_flops += 2 * pixels() * in * out * taps;
    move(element_bytes_ * in + float_bytes * out);
  }

  double element_bytes_;
  double frames_ = 0, height_ = 0, width_ = 0, channels_ = 0;
  double current_ = 0, first_ = 0, second_ = 0;  // bytes, as they grow
  Work work_;
};

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
  const auto transformer = expected_tensors(shapes.transformer);
  const auto vae = expected_tensors(shapes.vae);
  return {.transformer = count_elements(transformer, all),
          .transformer_blocks = count_elements(transformer, divided),
          .step_llm = count_elements(expected_tensors(shapes.step_llm), all),
          .clip = count_elements(expected_tensors(shapes.clip), all),
          .vae_decoder = count_elements(vae, starting("decoder.")),
          .vae_encoder = count_elements(vae, starting("encoder."))};
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
  // Two norms and one rounding of the float32 stream, three residual sums of it; queries and keys normed in
  // place, and cross-attention's queries.
  const double stream = width * (3 * (float_bytes + element_bytes) + 3 * 2 * float_bytes);
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
  return DecoderWalk(config, video, element_bytes).work();
}

double decode_activation_bytes(const model::VaeConfig& config, VideoShape video, double element_bytes) {
  const double kept = video.is_image() ? 1 : VideoShape::chunk_frames;
  const double pixels = kept * video.height * video.width * 3 * float_bytes;
  // A chunk in work, its pixels, and the chunk before it for the seam.
  return DecoderWalk(config, video, element_bytes).bytes() + 2 * pixels;
}

}  // namespace stepvideo::plan
