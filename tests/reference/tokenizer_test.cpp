#define BOOST_TEST_MODULE tokenizer
#include "text/tokenizer.hpp"

#include <numeric>

#include <boost/test/unit_test.hpp>
#include <sys/stat.h>

#include "io/json.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::text;
using namespace stepvideo::testing;

namespace {

const std::filesystem::path model = STEPVIDEO_DEMO_MODEL;

struct SentencePiece {
  std::unique_ptr<Tokenizer> tokenizer =
      open_sentencepiece_tokenizer(model / "step_llm" / "step1_chat_tokenizer.model");
};
struct WordPiece {
  std::unique_ptr<Tokenizer> tokenizer =
      open_wordpiece_tokenizer(model / "hunyuan_clip" / "tokenizer" / "vocab.txt");
};

struct Case {
  std::string text;
  std::vector<TokenId> ids;
};

std::vector<Case> read_cases(const std::string& name) {
  const std::filesystem::path path = STEPVIDEO_TEST_DATA "/tokenizers/" + name + ".json";
  std::vector<Case> cases;
  const auto json = io::read_json(path);
  for (const auto& each : json.at("cases"))
    cases.push_back(
        {io::field<std::string>(each, path, "text"), io::field<std::vector<TokenId>>(each, path, "ids")});
  BOOST_REQUIRE_GE(cases.size(), 400u);
  return cases;
}

void check_ids(const std::string& text, const std::vector<TokenId>& actual,
               const std::vector<TokenId>& expected) {
  const auto print = [](const std::vector<TokenId>& ids) { return io::Json(ids).dump(); };
  BOOST_CHECK_MESSAGE(actual == expected, io::in_quotes(text) << " gives " << print(actual)
                                                              << ", the reference " << print(expected));
}

std::vector<TokenId> real_ids(const TokenSequence& sequence) {
  const auto count = std::accumulate(sequence.mask.begin(), sequence.mask.end(), std::ptrdiff_t{0});
  return {sequence.ids.begin(), sequence.ids.begin() + count};
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(sentencepiece_ids_are_the_references, SentencePiece) {
  for (const auto& [text, ids] : read_cases("sentencepiece")) check_ids(text, tokenizer->encode(text), ids);
}
BOOST_FIXTURE_TEST_CASE(wordpiece_ids_are_the_references, WordPiece) {
  for (const auto& [text, ids] : read_cases("wordpiece"))
    check_ids(text, real_ids(tokenizer->sequence(text)), ids);
}
BOOST_FIXTURE_TEST_CASE(step_llm_prompts_are_framed_and_padded_with_the_end_token, SentencePiece) {
  const auto ids = tokenizer->encode("a red circle");
  const auto sequence = tokenizer->sequence("a red circle");
  BOOST_REQUIRE_EQUAL(sequence.ids.size(), 320u);
  BOOST_REQUIRE_EQUAL(sequence.mask.size(), 320u);
  for (std::size_t i = 0; i < 320; ++i) {
    const TokenId expected = i == 0 ? 1 : i <= ids.size() ? ids[i - 1] : 2;
    BOOST_CHECK_EQUAL(sequence.ids[i], expected);
    BOOST_CHECK_EQUAL(sequence.mask[i], i < ids.size() + 2 ? 1 : 0);
  }
}
BOOST_FIXTURE_TEST_CASE(a_long_step_llm_prompt_keeps_318_ids_and_the_end_token, SentencePiece) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "circle ";
  const auto ids = tokenizer->encode(text);
  BOOST_REQUIRE_GT(ids.size(), 318u);
  const auto sequence = tokenizer->sequence(text);
  BOOST_REQUIRE_EQUAL(sequence.ids.size(), 320u);
  BOOST_CHECK_EQUAL(sequence.ids[318], ids[317]);
  BOOST_CHECK_EQUAL(sequence.ids[319], 2);
  BOOST_CHECK_EQUAL(real_ids(sequence).size(), 320u);
}
BOOST_FIXTURE_TEST_CASE(what_is_left_out_begins_with_the_first_word_that_is_not_read_whole, SentencePiece) {
  BOOST_CHECK(!tokenizer->cut("a red circle"));
  BOOST_CHECK(!tokenizer->cut(""));
  std::string text;
  while (tokenizer->encode(text).size() < 316) text += "red ";
  BOOST_CHECK(!tokenizer->cut(text));
  text += "circle and many more words";
  const auto cut = tokenizer->cut(text);
  BOOST_REQUIRE(cut.has_value());
  BOOST_CHECK_EQUAL(cut->read, 318u);
  BOOST_CHECK_EQUAL(cut->tokens, tokenizer->encode(text).size());
  const std::string before = text.substr(0, text.find(cut->first_lost, text.find("circle")));
  BOOST_CHECK_LE(tokenizer->encode(before).size(), 318u);
  BOOST_CHECK_GT(tokenizer->encode(before + cut->first_lost).size(), 318u);
}
BOOST_FIXTURE_TEST_CASE(a_character_of_chinese_is_a_word, WordPiece) {
  const auto cut = tokenizer->cut("红圆移动", 4);
  BOOST_REQUIRE(cut.has_value());
  BOOST_CHECK_EQUAL(cut->first_lost, "移");
  const auto words = tokenizer->cut("a red  circle", 4);
  BOOST_REQUIRE(words.has_value());
  BOOST_CHECK_EQUAL(words->first_lost, "circle");
}
BOOST_FIXTURE_TEST_CASE(clip_prompts_are_padded_to_77, WordPiece) {
  const auto sequence = tokenizer->sequence("a red circle");
  BOOST_REQUIRE_EQUAL(sequence.ids.size(), 77u);
  BOOST_REQUIRE_EQUAL(sequence.mask.size(), 77u);
  BOOST_CHECK_EQUAL(sequence.ids.front(), 2);
  BOOST_CHECK_EQUAL(sequence.ids.back(), 0);
  BOOST_CHECK_EQUAL(real_ids(sequence).back(), 3);
}
BOOST_FIXTURE_TEST_CASE(an_empty_prompt_is_begin_and_end, SentencePiece) {
  BOOST_CHECK((real_ids(tokenizer->sequence("")) == std::vector<TokenId>{1, 2}));
  BOOST_CHECK((real_ids(WordPiece{}.tokenizer->sequence("")) == std::vector<TokenId>{2, 3}));
}
BOOST_FIXTURE_TEST_CASE(another_length_can_be_asked_for, WordPiece) {
  const auto sequence = tokenizer->sequence("a red circle moving left", "--prompt", 4);
  BOOST_CHECK_EQUAL(sequence.ids.size(), 4u);
  BOOST_CHECK_EQUAL(sequence.ids.back(), 3);
  check_refused([&] { tokenizer->sequence("a", "--prompt", 1); }, {"no room"});
}
BOOST_FIXTURE_TEST_CASE(a_prompt_that_is_not_utf8_is_refused_naming_the_flag, SentencePiece) {
  check_refused([&] { tokenizer->sequence("ok \xFF", "--negative"); },
                {"--negative", "UTF-8", "byte 3 (0xFF)"});
}
BOOST_AUTO_TEST_CASE(every_kind_of_broken_utf8_is_refused) {
  for (const std::string broken : {"\x80", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF",
                                   "\xE2\x82", "\xED\xA0\x80", "\xEF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x9F\x98",
                                   "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x28\xA1"}) {
    check_refused([&] { require_valid_utf8("a" + broken, "--prompt"); }, {"--prompt", "byte 1 "});
  }
  BOOST_CHECK_NO_THROW(
      require_valid_utf8("a \xC2\x80 \xE0\xA0\x80 \xED\x9F\xBF \xEE\x80\x80 \xF0\x90\x80\x80 "
                         "\xF4\x8F\xBF\xBF",
                         "--prompt"));
}
BOOST_AUTO_TEST_CASE(a_tokenizer_file_that_is_missing_or_damaged_is_named) {
  const ScratchFolder folder;
  check_refused([&] { open_sentencepiece_tokenizer(folder / "gone.model"); }, {"gone.model is not there"});
  check_refused([&] { open_sentencepiece_tokenizer(folder.write("bad.model", "not a model")); },
                {"bad.model"});
  check_refused([&] { open_wordpiece_tokenizer(folder / "gone.txt"); }, {"gone.txt"});
  check_refused([&] { open_wordpiece_tokenizer(folder.write("bad.txt", "[PAD]\n[UNK]\n[CLS]\n")); },
                {"bad.txt", "[SEP]"});
}
BOOST_AUTO_TEST_CASE(a_tokenizer_file_that_is_a_pipe_or_a_folder_is_refused_and_not_waited_for) {
  const ScratchFolder folder;
  const auto pipe = folder / "pipe";
  BOOST_REQUIRE_EQUAL(mkfifo(pipe.c_str(), 0600), 0);
  check_refused([&] { open_wordpiece_tokenizer(pipe); }, {"pipe is not there"});
  check_refused([&] { open_sentencepiece_tokenizer(pipe); }, {"pipe is not a regular file"});
  check_refused([&] { open_wordpiece_tokenizer(folder.path()); }, {"is not there"});
}
BOOST_AUTO_TEST_CASE(a_vocabulary_with_windows_line_ends_is_read) {
  const ScratchFolder folder;
  const auto tokenizer = open_wordpiece_tokenizer(
      folder.write("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nred\r\n##dish\r\n"));
  BOOST_CHECK((tokenizer->encode("Reddish red.") == std::vector<TokenId>{4, 5, 4, 1}));
}
