#include "model/vae_config.hpp"

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::model {
namespace {

using io::Shape;

/// Writes down the tensors of one half of the model, layer by layer.
class TensorList {
 public:
  explicit TensorList(std::vector<io::ExpectedTensor>& tensors) : tensors_(tensors) {}

  void vectors(const std::string& name, index_t channels) {
    tensors_.push_back({name + ".weight", {channels}});
    tensors_.push_back({name + ".bias", {channels}});
  }
  void conv(const std::string& name, index_t out, index_t in, const Shape& kernel) {
    Shape shape{out, in};
    shape.insert(shape.end(), kernel.begin(), kernel.end());
    tensors_.push_back({name + ".weight", shape});
    tensors_.push_back({name + ".bias", {out}});
  }
  void causal(const std::string& name, index_t out, index_t in, index_t kernel = 3) {
    conv(name + ".conv", out, in, {kernel, kernel, kernel});
  }
  void residual(const std::string& name, index_t out, index_t in) {
    vectors(name + ".norm1", in);
    causal(name + ".conv1", out, in);
    vectors(name + ".norm2", out);
    causal(name + ".conv2", out, out);
    if (in != out) causal(name + ".nin_shortcut", out, in, 1);
  }
  void mid(const std::string& name, index_t width) {
    residual(name + ".block_1", width, width);
    vectors(name + ".attn_1.norm", width);
    for (const char* part : {"q", "k", "v", "proj_out"}) causal(name + ".attn_1." + part, width, width, 1);
    residual(name + ".block_2", width, width);
  }
  /// Returns the width that the level leaves behind.
  index_t level(const std::string& name, index_t in, index_t width, int blocks) {
    for (int block = 0; block < blocks; ++block)
      residual(fmt::format("{}.block.{}", name, block), width, block == 0 ? in : width);
    return blocks > 0 ? width : in;
  }

 private:
  std::vector<io::ExpectedTensor>& tensors_;
};

void list_decoder(const VaeConfig& config, TensorList list) {
  const VaeConfig::Decoder& decoder = config.decoder;
  list.causal("decoder.conv_in", decoder.stem_width, config.latent_channels);
  list.causal("decoder.conv_unpatchify.conv", 8 * decoder.mid_width, decoder.stem_width);
  list.mid("decoder.mid", decoder.mid_width);
  index_t width = decoder.mid_width;
  for (int level = VaeConfig::levels - 1; level >= 0; --level) {
    const std::string name = fmt::format("decoder.up.{}", level);
    width = list.level(name, width, decoder.up.widths[level], decoder.up.blocks[level]);
    if (level >= 2)
      for (const char* part : {"1", "2"}) {
        list.causal(name + ".upsample.conv3d.conv" + part, width, width);
        list.vectors(name + ".upsample.conv3d.norm" + part, width);
      }
    if (level == 1) list.conv(name + ".upsample.conv", width, width, {3, 3});
  }
  list.vectors("decoder.norm_out", width);
  list.conv("decoder.conv_out", 3, width, {3, 3, 3});
}

void list_encoder(const VaeConfig& config, TensorList list) {
  const VaeConfig::Encoder& encoder = *config.encoder;
  list.causal("encoder.conv_in", encoder.stem_width, 3);
  index_t width = encoder.stem_width;
  for (int level = 0; level < VaeConfig::levels; ++level) {
    const std::string name = fmt::format("encoder.down.{}", level);
    width = list.level(name, width, encoder.down.widths[level], encoder.down.blocks[level]);
    if (level == 0) list.conv(name + ".downsample.conv", width, width, {3, 3});
    if (level == 1 || level == 2) list.causal(name + ".downsample.conv", width, width);
  }
  list.mid("encoder.mid", width);
  list.vectors("encoder.norm_out", width);
  list.causal("encoder.conv_patchify.conv", encoder.patch_width, width);
  list.causal("encoder.conv_out", 2 * config.latent_channels, 8 * encoder.patch_width);
}

/// The shape of a convolution's weight. Throws RequestError unless it is one.
const Shape& conv_shape(const io::Checkpoint& checkpoint, const std::string& name) {
  const Shape& shape = checkpoint.at(name).shape;
  constexpr index_t most_channels = 1 << 17;
  const auto is_sound = [&](std::size_t axis) { return shape[axis] > 0 && shape[axis] <= most_channels; };
  require(shape.size() == 5 && is_sound(0) && is_sound(1), [&] {
    return fmt::format("{} of {} is {}; a convolution's (out, in, 3, 3, 3) of at most {} channels works",
                       name, checkpoint.path().string(), io::to_string(shape), most_channels);
  });
  return shape;
}

/// Counts `prefix`'s blocks, and reads their width, level by level in the given order; a level without blocks
/// keeps the width that comes in.
VaeConfig::Levels read_levels(const io::Checkpoint& checkpoint, const std::string& prefix, index_t width,
                              const std::array<int, VaeConfig::levels>& order) {
  VaeConfig::Levels result;
  for (const int level : order) {
    const auto conv2 = [&](int block) {
      return fmt::format("{}.{}.block.{}.conv2.conv.weight", prefix, level, block);
    };
    int& blocks = result.blocks[level];
    while (checkpoint.contains(conv2(blocks))) ++blocks;
    if (blocks > 0) width = conv_shape(checkpoint, conv2(0))[0];
    require(width % VaeConfig::norm_groups == 0, [&] {
      return fmt::format("{}.{} in {} is {} channels wide; a multiple of {} works", prefix, level,
                         checkpoint.path().string(), width, VaeConfig::norm_groups);
    });
    result.widths[level] = width;
  }
  return result;
}

void require_multiple(const io::Checkpoint& checkpoint, const char* wide_name, index_t wide,
                      const char* narrow_name, index_t narrow) {
  require(narrow > 0 && wide % narrow == 0, [&] {
    return fmt::format("{} in {} has {} and {} has {} channels; the first must be a multiple of the second",
                       wide_name, checkpoint.path().string(), wide, narrow_name, narrow);
  });
}

}  // namespace

VaeConfig VaeConfig::release() {
  return {.latent_channels = 64,
          .decoder = {.stem_width = 2048,
                      .mid_width = 512,
                      .up = {.widths = {128, 256, 512, 512}, .blocks = {3, 3, 3, 3}}},
          .encoder = Encoder{.stem_width = 32,
                             .down = {.widths = {128, 256, 512, 512}, .blocks = {2, 2, 2, 2}},
                             .patch_width = 256}};
}

VaeConfig VaeConfig::of(const io::Checkpoint& checkpoint) {
  VaeConfig config;
  const Shape& stem = conv_shape(checkpoint, "decoder.conv_in.conv.weight");
  config.latent_channels = stem[1];
  Decoder& decoder = config.decoder;
  decoder.stem_width = stem[0];
  const index_t shuffled = conv_shape(checkpoint, "decoder.conv_unpatchify.conv.conv.weight")[0];
  require_multiple(checkpoint, "decoder.conv_in", decoder.stem_width, "the latent", config.latent_channels);
  require_multiple(checkpoint, "decoder.conv_unpatchify", shuffled, "decoder.conv_in", decoder.stem_width);
  require_multiple(checkpoint, "decoder.conv_unpatchify", shuffled,
                   "one group of each norm behind the shuffle", 8 * norm_groups);
  decoder.mid_width = shuffled / 8;
  decoder.up = read_levels(checkpoint, "decoder.up", decoder.mid_width, {3, 2, 1, 0});

  if (checkpoint.contains("encoder.conv_in.conv.weight")) {
    Encoder encoder;
    encoder.stem_width = conv_shape(checkpoint, "encoder.conv_in.conv.weight")[0];
    encoder.down = read_levels(checkpoint, "encoder.down", encoder.stem_width, {0, 1, 2, 3});
    encoder.patch_width = conv_shape(checkpoint, "encoder.conv_patchify.conv.conv.weight")[0];
    require_multiple(checkpoint, "encoder.mid", encoder.down.widths[3], "encoder.conv_patchify",
                     encoder.patch_width);
    require_multiple(checkpoint, "encoder.conv_patchify, unshuffled,", 8 * encoder.patch_width,
                     "encoder.conv_out", 2 * config.latent_channels);
    config.encoder = encoder;
  }
  checkpoint.validate(expected_tensors(config));
  return config;
}

std::vector<io::ExpectedTensor> expected_tensors(const VaeConfig& config) {
  std::vector<io::ExpectedTensor> tensors;
  list_decoder(config, TensorList(tensors));
  if (config.encoder) list_encoder(config, TensorList(tensors));
  return tensors;
}

}  // namespace stepvideo::model
