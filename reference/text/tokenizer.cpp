#include "text/tokenizer.hpp"

#include <algorithm>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/utf8.hpp"

namespace stepvideo::text {
namespace {

/// Where words begin: behind a space, and at every character beyond ASCII, as Chinese has no spaces.
std::vector<std::size_t> word_begins(std::string_view text) {
  constexpr std::string_view spaces = " \t\r\n";
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < text.size(); i += io::utf8_length(text.substr(i))) {
    if (spaces.find(text[i]) != spaces.npos) continue;
    if (i == 0 || !is_ascii(text[i]) || !is_ascii(text[i - 1]) || spaces.find(text[i - 1]) != spaces.npos)
      begins.push_back(i);
  }
  return begins;
}

class ByteTokenizer final : public Tokenizer {
 public:
  explicit ByteTokenizer(const TokenFrame& frame) : frame_(frame) {}

  std::vector<TokenId> encode(std::string_view prompt) const override {
    std::vector<TokenId> ids;
    for (const char c : prompt) ids.push_back(256 + static_cast<unsigned char>(c));
    return ids;
  }

 private:
  TokenFrame frame() const override { return frame_; }

  TokenFrame frame_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_byte_tokenizer(const TokenFrame& frame) {
  return std::make_unique<ByteTokenizer>(frame);
}

void require_valid_utf8(std::string_view text, const std::string& flag) {
  const std::size_t valid = io::utf8_prefix(text);
  require(valid == text.size(), [&] {
    return fmt::format(
        "{} is not valid UTF-8: byte {} (0x{:02X}) starts no character; give the text in UTF-8", flag, valid,
        static_cast<unsigned char>(text[valid]));
  });
}

TokenSequence Tokenizer::sequence(std::string_view prompt, const std::string& flag,
                                  std::size_t length) const {
  require_valid_utf8(prompt, flag);
  const TokenFrame framing = frame();
  if (length == 0) length = framing.length;
  require(length >= 2,
          [&] { return fmt::format("a token sequence of {} has no room for begin and end", length); });

  std::vector<TokenId> ids = encode(prompt);
  ids.resize(std::min(ids.size(), length - 2));
  ids.insert(ids.begin(), framing.begin);
  ids.push_back(framing.end);
  std::vector<std::int32_t> mask(ids.size(), 1);
  ids.resize(length, framing.padding);
  mask.resize(length, 0);
  return {std::move(ids), std::move(mask)};
}

std::optional<CutPrompt> Tokenizer::cut(std::string_view prompt, std::size_t length) const {
  const std::size_t read = (length == 0 ? frame().length : length) - 2, tokens = encode(prompt).size();
  if (tokens <= read) return {};
  const std::vector<std::size_t> begins = word_begins(prompt);
  const auto end_of = [&](std::size_t word) {
    return word + 1 < begins.size() ? begins[word + 1] : prompt.size();
  };
  std::size_t first = 0, last = begins.size() - 1;  // the first word whose end is beyond, between these
  while (first < last) {
    const std::size_t middle = (first + last) / 2;
    if (encode(prompt.substr(0, end_of(middle))).size() > read)
      last = middle;
    else
      first = middle + 1;
  }
  std::string word(prompt.substr(begins[first], end_of(first) - begins[first]));
  word.erase(word.find_last_not_of(" \t\r\n") + 1);
  return CutPrompt{tokens, read, std::move(word)};
}

}  // namespace stepvideo::text
