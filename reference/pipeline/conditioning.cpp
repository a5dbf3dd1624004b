#include "pipeline/conditioning.hpp"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "io/checkpoint.hpp"

namespace stepvideo::pipeline {
namespace {

constexpr auto llm_name = "encoder_hidden_states", clip_name = "encoder_hidden_states_2",
               mask_name = "encoder_attention_mask";

io::Shape shape_of_rank(const io::Checkpoint& file, const char* name, std::size_t rank) {
  const io::Shape& shape = file.at(name).shape;
  require(shape.size() == rank && std::ranges::all_of(shape, [](auto extent) { return extent > 0; }), [&] {
    return fmt::format("{} in {} has shape {}; {} positive extents are needed", name, file.path().string(),
                       io::to_string(shape), rank);
  });
  return shape;
}

/// The number of ones of a mask row, which must all stand in front.
index_t prefix_length(std::span<const float> row, index_t element, const std::string& file) {
  const auto zero = std::ranges::find(row, 0.0f);
  const bool is_prefix = std::all_of(row.begin(), zero, [](float v) { return v == 1.0f; }) &&
                         std::all_of(zero, row.end(), [](float v) { return v == 0.0f; });
  require(is_prefix && zero != row.begin(), [&] {
    return fmt::format(
        "{} in {}: row {} is not ones followed by zeros with at least one 1; padding comes last", mask_name,
        file, element);
  });
  return zero - row.begin();
}

std::span<const std::byte> bytes_of(const auto& values) {
  return std::as_bytes(std::span(values));
}

}  // namespace

Conditioning read_conditioning(const std::filesystem::path& path) {
  const auto file = io::Checkpoint::open(path);
  const auto llm = shape_of_rank(file, llm_name, 3), clip = shape_of_rank(file, clip_name, 3);
  const auto mask = shape_of_rank(file, mask_name, 2);
  require(llm[0] == clip[0] && mask == io::Shape{llm[0], llm[1] + clip[1]}, [&] {
    return fmt::format(
        "{}: {} is {}, {} is {} and {} is {}; batches must agree and the mask needs one column a token",
        path.string(), llm_name, io::to_string(llm), clip_name, io::to_string(clip), mask_name,
        io::to_string(mask));
  });
  Conditioning conditioning{.batch = llm[0],
                            .llm_tokens = llm[1],
                            .llm_width = llm[2],
                            .clip_tokens = clip[1],
                            .clip_width = clip[2],
                            .llm_states = file.load<float>(llm_name),
                            .clip_states = file.load<float>(clip_name),
                            .key_lengths = {}};
  const auto rows = file.load<float>(mask_name);
  for (index_t element = 0; element < mask[0]; ++element)
    conditioning.key_lengths.push_back(prefix_length(
        {rows.data() + element * mask[1], static_cast<std::size_t>(mask[1])}, element, path.string()));
  return conditioning;
}

void write_conditioning(const std::filesystem::path& path, const Conditioning& conditioning) {
  const auto& c = conditioning;
  const index_t keys = c.clip_tokens + c.llm_tokens;
  std::vector<float> mask(static_cast<std::size_t>(c.batch * keys), 0.0f);
  for (index_t element = 0; element < c.batch; ++element)
    std::fill_n(mask.begin() + element * keys, c.key_lengths[static_cast<std::size_t>(element)], 1.0f);
  io::write_safetensors(
      path, {{llm_name, io::Dtype::f32, {c.batch, c.llm_tokens, c.llm_width}, bytes_of(c.llm_states)},
             {clip_name, io::Dtype::f32, {c.batch, c.clip_tokens, c.clip_width}, bytes_of(c.clip_states)},
             {mask_name, io::Dtype::f32, {c.batch, keys}, bytes_of(mask)}});
}

}  // namespace stepvideo::pipeline
