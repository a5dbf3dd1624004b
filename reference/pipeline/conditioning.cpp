#include "pipeline/conditioning.hpp"

#include <algorithm>

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

}  // namespace

Conditioning Conditioning::copy() const {
  Conditioning twin{batch,
                    llm_tokens,
                    llm_width,
                    clip_tokens,
                    clip_width,
                    Buffer<float>(llm_states.size()),
                    Buffer<float>(clip_states.size()),
                    key_lengths};
  std::ranges::copy(llm_states, twin.llm_states.begin());
  std::ranges::copy(clip_states, twin.clip_states.begin());
  return twin;
}

std::vector<index_t> read_prefix_lengths(const io::Checkpoint& file, const std::string& name) {
  const io::Shape& shape = file.at(name).shape;
  const auto mask = file.load_integers(name);
  require(shape.size() == 2, [&] {
    return fmt::format("{} in {} has shape {}; (batch, tokens) is needed", name, file.path().string(),
                       io::to_string(shape));
  });
  std::vector<index_t> lengths;
  for (index_t row = 0; row < shape[0]; ++row) {
    const auto begin = mask.begin() + row * shape[1], end = begin + shape[1];
    const auto padding = std::find(begin, end, 0);
    require(padding != begin && std::all_of(begin, padding, [](int value) { return value == 1; }) &&
                std::all_of(padding, end, [](int value) { return value == 0; }),
            [&] {
              return fmt::format(
                  "{} in {}: row {} is not ones followed by zeros with at least one 1; padding comes last",
                  name, file.path().string(), row);
            });
    lengths.push_back(padding - begin);
  }
  return lengths;
}

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
                            .key_lengths = read_prefix_lengths(file, mask_name)};
  return conditioning;
}

Buffer<float> Conditioning::mask() const {
  const index_t keys = clip_tokens + llm_tokens;
  Buffer<float> mask(batch * keys);
  std::ranges::fill(mask, 0.0f);
  for (index_t element = 0; element < batch; ++element)
    std::fill_n(mask.begin() + element * keys, key_lengths[static_cast<std::size_t>(element)], 1.0f);
  return mask;
}

std::vector<io::NamedTensor> named_tensors(const Conditioning& conditioning, const Buffer<float>& mask) {
  const auto& c = conditioning;
  return {io::named_tensor(llm_name, {c.batch, c.llm_tokens, c.llm_width}, c.llm_states),
          io::named_tensor(clip_name, {c.batch, c.clip_tokens, c.clip_width}, c.clip_states),
          io::named_tensor(mask_name, {c.batch, c.clip_tokens + c.llm_tokens}, mask)};
}

void write_conditioning(const std::filesystem::path& path, const Conditioning& conditioning,
                        const std::map<std::string, std::string>& metadata) {
  const auto mask = conditioning.mask();
  io::write_safetensors(path, named_tensors(conditioning, mask), metadata);
}

}  // namespace stepvideo::pipeline
