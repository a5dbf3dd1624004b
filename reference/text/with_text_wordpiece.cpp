// WordPiece as BERT uses it (Devlin et al. 2018), after the clean-up that the reference tokenizer documents:
// special tokens are taken out of the raw text first, everything else is lower-cased, cleaned, split at
// spaces, ideographs and punctuation, stripped of accents, and cut greedily into the longest pieces of the
// vocabulary.
#include <algorithm>
#include <array>
#include <fstream>
#include <unordered_map>

#include <fmt/format.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <stepvideo/core/error.hpp>

#include "io/lfs_pointer.hpp"
#include "text/tokenizer.hpp"

namespace stepvideo::text {
namespace {

constexpr std::array<std::string_view, 5> special_tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

bool is_dropped(UChar32 c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  constexpr std::uint32_t other =
      U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CS_MASK | U_GC_CO_MASK | U_GC_CN_MASK;  // controls, unassigned, ...
  return c == 0xFFFD || (U_GET_GC_MASK(c) & other) != 0;
}

bool is_space(UChar32 c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || (U_GET_GC_MASK(c) & U_GC_Z_MASK) != 0;
}

/// Every ASCII symbol counts as punctuation, '$' and '+' too.
bool is_punctuation(UChar32 c) {
  const bool is_ascii_symbol =
      (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
  return is_ascii_symbol || (U_GET_GC_MASK(c) & U_GC_P_MASK) != 0;
}

/// The ideograph blocks that BERT sets apart; kana and hangul are not among them.
bool is_ideograph(UChar32 c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

template <class Function>
void for_each_character(const icu::UnicodeString& text, Function&& function) {
  for (std::int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1)) function(text.char32At(i));
}

/// Lower-cased character by character, so that a final sigma is a sigma; spaces around ideographs.
icu::UnicodeString clean(std::string_view text) {
  icu::UnicodeString result;
  for_each_character(icu::UnicodeString::fromUTF8({text.data(), static_cast<std::int32_t>(text.size())}),
                     [&](UChar32 c) {
                       // U+0130 lowers to i and U+0307; the dot goes with the accents.
                       c = c == 0x130 ? 'i' : u_tolower(c);
                       if (is_dropped(c)) return;
                       if (is_space(c)) {
                         result.append(static_cast<UChar32>(' '));
                       } else if (is_ideograph(c)) {
                         result.append(static_cast<UChar32>(' ')).append(c).append(static_cast<UChar32>(' '));
                       } else {
                         result.append(c);
                       }
                     });
  return result;
}

/// The words of a text without special tokens, each as its characters in UTF-8.
std::vector<std::vector<std::string>> split_words(std::string_view text) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* decomposition = icu::Normalizer2::getNFDInstance(status);
  const icu::UnicodeString decomposed =
      U_SUCCESS(status) ? decomposition->normalize(clean(text), status) : icu::UnicodeString();
  if (U_FAILURE(status)) throw Error(fmt::format("ICU cannot decompose the prompt: {}", u_errorName(status)));

  std::vector<std::vector<std::string>> words(1);
  for_each_character(decomposed, [&](UChar32 c) {
    if (u_charType(c) == U_NON_SPACING_MARK) return;
    if (is_space(c) || is_punctuation(c)) words.emplace_back();
    if (is_space(c)) return;
    icu::UnicodeString(c).toUTF8String(words.back().emplace_back());
    if (is_punctuation(c)) words.emplace_back();
  });
  std::erase_if(words, [](const auto& word) { return word.empty(); });
  return words;
}

class WordPieceTokenizer final : public Tokenizer {
 public:
  explicit WordPieceTokenizer(const std::filesystem::path& path) {
    constexpr std::uintmax_t largest_bytes = 64 << 20;
    std::error_code unused;
    require(std::filesystem::is_regular_file(path, unused),
            [&] { return path.string() + " is not there; a vocab.txt was looked for"; });
    require(std::filesystem::file_size(path, unused) <= largest_bytes,
            [&] { return path.string() + " is larger than 64 MiB; a vocab.txt has one token a line"; });
    std::ifstream file(path, std::ios::binary);
    require(file.is_open(), [&] { return path.string() + " cannot be read; a vocab.txt was looked for"; });
    TokenId id = 0;
    for (std::string line; std::getline(file, line); ++id) {
      if (line.ends_with('\r')) line.pop_back();
      if (id == 0) io::require_no_lfs_pointer(line, path);
      ids_[line] = id;
    }
    const auto id_of = [&](const std::string& token) {
      const auto found = ids_.find(token);
      require(found != ids_.end(), [&] {
        return fmt::format("{} has no line {}; a BERT vocabulary has [PAD], [UNK], [CLS] and [SEP]",
                           path.string(), token);
      });
      return found->second;
    };
    unknown_ = id_of("[UNK]");
    frame_ = {.begin = id_of("[CLS]"),
              .end = id_of("[SEP]"),
              .padding = id_of("[PAD]"),
              .length = clip_frame.length};
  }

  std::vector<TokenId> encode(std::string_view prompt) const override {
    std::vector<TokenId> ids;
    std::size_t begin = 0, position = 0;
    while (position < prompt.size()) {
      const auto special = std::ranges::find_if(special_tokens, [&](std::string_view token) {
        return prompt.substr(position).starts_with(token) && ids_.contains(std::string(token));
      });
      if (special == special_tokens.end()) {
        ++position;
        continue;
      }
      append_words(prompt.substr(begin, position - begin), ids);
      ids.push_back(ids_.at(std::string(*special)));
      begin = position += special->size();
    }
    append_words(prompt.substr(begin), ids);
    return ids;
  }

 private:
  TokenFrame frame() const override { return frame_; }

  void append_words(std::string_view text, std::vector<TokenId>& ids) const {
    for (const auto& word : split_words(text)) append_pieces(word, ids);
  }

  /// The longest piece first, then the longest that continues it ("##"); [UNK] where nothing fits.
  void append_pieces(const std::vector<std::string>& characters, std::vector<TokenId>& ids) const {
    constexpr std::size_t longest_word = 100;
    const std::size_t word_begin = ids.size();
    const auto give_up = [&] {
      ids.resize(word_begin);
      ids.push_back(unknown_);
    };
    if (characters.size() > longest_word) return give_up();
    for (std::size_t begin = 0; begin < characters.size();) {
      std::vector<std::string> pieces;  // pieces[n] has n + 1 characters
      std::string piece = begin > 0 ? "##" : "";
      for (std::size_t i = begin; i < characters.size(); ++i) pieces.push_back(piece += characters[i]);
      while (!pieces.empty() && !ids_.contains(pieces.back())) pieces.pop_back();
      if (pieces.empty()) return give_up();
      ids.push_back(ids_.at(pieces.back()));
      begin += pieces.size();
    }
  }

  std::unordered_map<std::string, TokenId> ids_;
  TokenId unknown_ = 0;
  TokenFrame frame_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_wordpiece_tokenizer(const std::filesystem::path& vocabulary) {
  return std::make_unique<WordPieceTokenizer>(vocabulary);
}

}  // namespace stepvideo::text
