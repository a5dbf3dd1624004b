// A command line that is not understood: what is said of each mistake, and what is taken as it was meant.
#define BOOST_TEST_MODULE flag_words
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <sstream>

#include <omp.h>

#include "commands/command.hpp"
#include "commands/options.hpp"
#include "commands/values.hpp"
#include "support/program.hpp"
#include "support/refused.hpp"

using namespace stepvideo;
using namespace stepvideo::commands;
using testing::check_refused;

namespace {

/// A command with a flag of every kind.
struct Request {
  std::string prompt, taste = "sweet";
  std::filesystem::path output;
  std::optional<int> width, height, steps;
  std::optional<std::uint64_t> seed;
  std::optional<double> cfg_scale;
  std::vector<std::string> words;
  bool is_quiet = false, takes_words = false;

  bool read(const std::vector<std::string>& arguments) {
    FlagParser parser("paint", "words become a picture");
    parser.flag("prompt", prompt, "what it shows")
        .flag("output", output, "file to write")
        .flag("width", width, "pixels")
        .flag("height", height, "pixels")
        .flag("steps", steps, "how many")
        .flag("seed", seed, "of the noise")
        .flag("cfg-scale", cfg_scale, "guidance")
        .choice("taste", taste, {"sweet", "sour", "bitter"}, "of it")
        .toggle("quiet", is_quiet, "say nothing")
        .on_threads()
        .require("prompt")
        .require("output");
    if (takes_words) parser.words(words);
    return parser.parse(arguments);
  }
};

/// The sentence that refuses them, whole.
std::string refusal(const std::vector<std::string>& arguments) {
  Request request;
  try {
    request.read(arguments);
  } catch (const RequestError& error) {
    return error.what();
  }
  return "";
}

void check_sentence(const std::vector<std::string>& arguments, const std::string& sentence) {
  BOOST_CHECK_EQUAL(refusal(arguments), sentence);
}

Request taken(const std::vector<std::string>& arguments) {
  Request request;
  BOOST_CHECK(request.read(arguments));
  return request;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

BOOST_AUTO_TEST_CASE(words_of_a_prompt_without_quotes_belong_to_it) {
  check_sentence(
      {"--prompt", "a", "red", "circle", "--output", "x.mp4"},
      "paint: 'red circle' stands without its flag; if it belongs to --prompt, a shell wants quotes: "
      "--prompt 'a red circle'");
  check_sentence(
      {"--output", "my", "film.mp4"},
      "paint: 'film.mp4' stands without its flag; if it belongs to --output, a shell wants quotes: "
      "--output 'my film.mp4'");
}

BOOST_AUTO_TEST_CASE(a_word_without_any_flag_is_told_where_it_may_belong) {
  check_sentence({"a red circle"},
                 "paint: 'a red circle' stands without its flag; --prompt 'a red circle' would be read");
  check_sentence({"--steps", "3", "x.mp4"},
                 "paint: 'x.mp4' stands without its flag; --output x.mp4 would be read");
  check_sentence({"--prompt", "x", "992x544"},
                 "paint: '992x544' stands without its flag; --width 992 --height 544 would be read");
  check_sentence({"--prompt", "x", "steps", "3"},
                 "paint: 'steps 3' stands without its flag; did you mean --steps 3?");
  check_sentence({"help"}, "paint: 'help' stands without its flag; did you mean --help?");
  check_sentence({"steps=3"}, "paint: 'steps=3' stands without its flag; did you mean --steps=3?");
}

BOOST_AUTO_TEST_CASE(a_value_behind_a_flag_that_takes_none_says_so) {
  check_sentence({"--prompt", "x", "--output", "y", "--quiet", "yes"},
                 "paint: 'yes' stands without its flag; --quiet in front of it takes no value");
  check_sentence({"--quiet=yes"}, "--quiet=yes takes no value; --quiet alone works");
}

BOOST_AUTO_TEST_CASE(dashes_that_are_not_two_are_named) {
  check_sentence({"-steps", "3"}, "paint: -steps has one dash; --steps works");
  check_sentence({"-s5"}, "paint: -s5 is read as no flag; -s 5 works");
  check_sentence({"-x"}, "paint: -x is no flag here; stepvideo paint --help lists those that are");
  check_sentence(
      {"\u2014prompt", "x"},
      "paint: '\u2014prompt' begins with a dash that is not '-', as web pages have it; --prompt works");
  check_sentence({"--"}, "paint: '--' stands where a flag should; every value follows a --flag");
}

BOOST_AUTO_TEST_CASE(all_missing_flags_are_named_at_once) {
  check_sentence({}, "--prompt and --output are missing; paint needs them");
  check_sentence({"--prompt", "x"}, "--output is missing; paint needs it");
  testing::check_says(testing::run_program({"generate"}), 2,
                      {"--model, --prompt and --output are missing; generate needs them"});
  testing::check_says(testing::run_program({"generate", "--like", "x.mp4"}), 2,
                      {"stepvideo: --output is missing; generate needs it\n"});
  testing::check_says(testing::run_program({"decode", "--weights", "random:1"}), 2,
                      {"--latents and --output are missing"});
}

BOOST_AUTO_TEST_CASE(flags_of_other_programs_are_known_by_what_they_mean) {
  check_sentence({"--size", "992x544"}, "unknown flag --size for paint; here it is --width 992 --height 544");
  check_sentence({"--size", "big"}, "unknown flag --size for paint; here it is --width and --height");
  check_sentence({"--cfg", "9"}, "unknown flag --cfg for paint; here it is --cfg-scale");
  check_sentence({"--guidance_scale", "9"},
                 "unknown flag --guidance_scale for paint; here it is --cfg-scale");
  check_sentence({"--num-inference-steps=9"},
                 "unknown flag --num-inference-steps for paint; here it is --steps");
  check_sentence({"--Steps", "3"}, "unknown flag --Steps for paint; did you mean --steps?");
  check_sentence({"--cfg_scale", "3"}, "unknown flag --cfg_scale for paint; did you mean --cfg-scale?");
  check_sentence({"--stesp", "3"}, "unknown flag --stesp for paint; did you mean --steps?");
  check_sentence({"--embed-limit", "3"}, "unknown flag --embed-limit for paint; report has it");
  check_sentence({"--latents", "a"}, "unknown flag --latents for paint; denoise and decode have it");
  check_sentence({"--qzxqzx"},
                 "unknown flag --qzxqzx for paint; stepvideo paint --help all lists those that there are");
  testing::check_says(testing::run_program({"run"}), 2, {"unknown command run; here it is generate"});
  testing::check_says(testing::run_program({"GENRATE"}), 2, {"did you mean generate?"});
  testing::check_says(testing::run_program({"--prompt", "x"}), 2,
                      {"--prompt stands where the command should, which comes first"});
}

BOOST_AUTO_TEST_CASE(a_flag_without_its_value_is_named) {
  BOOST_CHECK(refusal({"--prompt"}).starts_with("--prompt has no value"));
  BOOST_CHECK(refusal({"--prompt", "--output", "x"}).starts_with("--prompt has no value"));
  BOOST_CHECK(refusal({"-p", "-o", "x"}).starts_with("-p has no value"));
}

BOOST_AUTO_TEST_CASE(short_flags_are_those_of_other_programs) {
  const Request request = taken({"-p", "a circle", "-o", "x.mp4", "-W", "64", "-H=32", "-s", "7"});
  BOOST_CHECK_EQUAL(request.prompt, "a circle");
  BOOST_CHECK_EQUAL(request.output, "x.mp4");
  BOOST_CHECK_EQUAL(request.width.value(), 64);
  BOOST_CHECK_EQUAL(request.height.value(), 32);
  BOOST_CHECK_EQUAL(request.seed.value(), 7u);
}

BOOST_AUTO_TEST_CASE(values_that_look_like_flags_or_are_empty_are_read_as_given) {
  const Request request = taken({"--prompt=--quiet is a flag", "--output", "x", "--cfg-scale", "-1"});
  BOOST_CHECK_EQUAL(request.prompt, "--quiet is a flag");
  BOOST_CHECK_EQUAL(request.cfg_scale.value(), -1);
  BOOST_CHECK(!request.is_quiet);
  BOOST_CHECK_EQUAL(taken({"--prompt", "", "--output", "x"}).prompt, "");
  BOOST_CHECK_EQUAL(taken({"--prompt=", "--output", "x"}).prompt, "");
  BOOST_CHECK_EQUAL(taken({"--prompt=a=b", "--output", "x"}).prompt, "a=b");
}

BOOST_AUTO_TEST_CASE(choices_are_read_in_capitals_too) {
  BOOST_CHECK_EQUAL(taken({"--prompt", "x", "--output", "y", "--taste", "SOUR"}).taste, "sour");
  check_sentence({"--taste", "salty"}, "--taste: 'salty' is not one of sweet, sour and bitter");
}

BOOST_AUTO_TEST_CASE(words_are_taken_where_a_command_has_some) {
  Request request;
  request.takes_words = true;
  BOOST_CHECK(request.read({"one", "-p", "x", "two", "--output", "y", "--quiet", "three"}));
  BOOST_CHECK((request.words == std::vector<std::string>{"one", "two", "three"}));
}

BOOST_AUTO_TEST_CASE(threads_are_as_many_as_were_asked_for) {
  const int before = omp_get_max_threads();
  taken({"--prompt", "x", "--output", "y", "--threads", "3"});
  BOOST_CHECK_EQUAL(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
  check_sentence({"--prompt", "x", "--output", "y", "--threads", "0"}, "--threads is 0; 1 to 1024 works");
  check_sentence({"--prompt", "x", "--output", "y", "--threads", "1025"},
                 "--threads is 1025; 1 to 1024 works");
}

BOOST_AUTO_TEST_CASE(sizes_in_bytes_are_read_in_decimal_and_binary_units) {
  BOOST_CHECK_EQUAL(parse_size("--m", "5GB"), 5'000'000'000u);
  BOOST_CHECK_EQUAL(parse_size("--m", "5 gb"), 5'000'000'000u);
  BOOST_CHECK_EQUAL(parse_size("--m", "1.5GiB"), 1'610'612'736u);
  BOOST_CHECK_EQUAL(parse_size("--m", "1048576"), 1'048'576u);
  BOOST_CHECK_EQUAL(parse_size("--m", "200kB"), 200'000u);
  for (const char* text : {"", "0", "GB", "-5GB", "5GBs", "nan", "inf", "1e400", "99999999999GB"})
    check_refused([&] { parse_size("--max-shard-size", text); }, "--max-shard-size: '");
}

BOOST_AUTO_TEST_CASE(devices_gpus_and_containers_are_read_in_capitals_too) {
  const auto planned = testing::run_program({"plan", "--gpu", "H100", "--precision", "BF16"});
  BOOST_CHECK_EQUAL(planned.exit_code, 0);
  BOOST_CHECK_NE(planned.output.find("h100"), std::string::npos);
  BOOST_CHECK_EQUAL(planned.output, testing::run_program({"plan", "--gpu", "h100"}).output);
  const testing::ScratchFolder folder;
  const std::string video = folder / "a.MP4";
  testing::check_says(testing::run_program({"generate",
                                            "--model",
                                            STEPVIDEO_DEMO_MODEL,
                                            "-p",
                                            "a red circle",
                                            "-o",
                                            video,
                                            "--device",
                                            "CPU",
                                            "--precision",
                                            "FP32",
                                            "--chroma",
                                            "420",
                                            "--preset",
                                            "Turbo",
                                            "--steps",
                                            "1",
                                            "--frames",
                                            "1",
                                            "--threads",
                                            "1"}),
                      0, {});
  BOOST_CHECK(std::filesystem::exists(video));
}

BOOST_AUTO_TEST_CASE(help_fits_a_screen_and_help_all_has_every_flag) {
  std::vector<std::string> names;
  for (const auto& command : all_commands()) names.emplace_back(command.name);
  for (const auto& name : names) {
    const auto shown = testing::run_program({name, "--help"});
    BOOST_CHECK_EQUAL(shown.exit_code, 0);
    const auto lines = lines_of(shown.output);
    BOOST_CHECK_MESSAGE(lines.size() <= 24, name << " --help has " << lines.size() << " lines");
    for (const auto& line : lines) BOOST_CHECK_MESSAGE(line.size() <= 80, name << ": " << line);
    for (const std::vector<std::string>& same : {std::vector<std::string>{name, "-h"}, {"help", name}})
      BOOST_CHECK_EQUAL(testing::run_program(same).output, shown.output);
    const auto all = testing::run_program({"help", name, "all"});
    BOOST_CHECK_EQUAL(testing::run_program({name, "--help", "all"}).output, all.output);
    // Each flag that completion offers is told of.
    for (const auto& line : lines_of(testing::run_program({name, "--help", "completion"}).output))
      BOOST_CHECK_MESSAGE(
          (all.output + "--help all").find(line.substr(0, line.find(' '))) != std::string::npos,
          name << " --help all lacks " << line);
  }
  const auto generate = testing::run_program({"generate", "--help"}).output;
  for (const char* const needed : {"-p, --prompt TEXT", "-o, --output PATH", "--model PATH", "--steps N",
                                   "--seed", "--device", "--resume", "stepvideo generate --help all has"})
    BOOST_CHECK_NE(generate.find(needed), std::string::npos);
  const auto all = testing::run_program({"generate", "--help", "all"}).output;
  for (const char* const heading :
       {"\nSize and sampling:\n", "\nKeeping work:\n", "\nThe VAE:\n", "--heartbeat X"})
    BOOST_CHECK_NE(all.find(heading), std::string::npos);
}
