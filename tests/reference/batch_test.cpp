// A file of prompts becomes a folder of videos.
#define BOOST_TEST_MODULE batch
#include <csignal>
#include <new>
#include <set>

#include "commands/generate_wishes.hpp"
#include "interrupt.hpp"
#include "pipeline/generator.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder, testing::check_refused;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;
using Arguments = std::vector<std::string>;

testing::ProgramResult generate(Arguments more) {
  Arguments arguments{"generate", "--model", demo, "--height", "32", "--width", "32", "--reproducible"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return testing::run_program(arguments);
}

std::size_t count(const std::string& text, const std::string& phrase) {
  std::size_t found = 0;
  for (std::size_t at = text.find(phrase); at != text.npos; at = text.find(phrase, at + 1)) ++found;
  return found;
}

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename().string());
  return names;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_video_is_what_its_line_gives_alone_and_each_component_is_loaded_once) {
  const ScratchFolder folder;
  const auto prompts = folder.write("prompts.txt",
                                    "a red circle moves up\r\n\n"
                                    "一个蓝色的方块向下移动\n"
                                    R"({"prompt": "a cyan square", "seed": 5, "steps": 3, "height": 48, )"
                                    R"("cfg_scale": 4, "output": "square.safetensors"})");
  const auto result = generate({"--prompts", prompts.string(), "--steps", "2", "--output",
                                (folder / "out").string(), "--log-file", (folder / "log.ndjson").string()});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(
      (names_in(folder / "out") == std::set<std::string>{"001.mp4", "002.mp4", "square.safetensors"}));
  const auto log = testing::read_text(folder / "log.ndjson");
  for (const std::string stage : {"load Step-LLM", "load CLIP", "load transformer", "load VAE decoder"})
    BOOST_CHECK_EQUAL(count(log, "\"stage\":\"" + stage + "\",\"event\":\"begin\""), 1u);

  const auto check_alone = [&](const std::string& name, const Arguments& flags) {
    Arguments alone{"--quiet", "--output", (folder / name).string()};
    alone.insert(alone.end(), flags.begin(), flags.end());
    BOOST_REQUIRE_EQUAL(generate(alone).exit_code, 0);
    BOOST_CHECK_MESSAGE(testing::read_text(folder / name) == testing::read_text(folder / "out" / name), name);
  };
  check_alone("001.mp4", {"--prompt", "a red circle moves up", "--steps", "2"});
  check_alone("002.mp4", {"--prompt", "一个蓝色的方块向下移动", "--steps", "2"});
  const auto other = testing::run_program({"generate", "--model", demo, "--prompt", "a cyan square", "--seed",
                                           "5", "--steps", "3", "--height", "48", "--width", "32",
                                           "--cfg-scale", "4", "--reproducible", "--quiet", "--output",
                                           (folder / "square.safetensors").string()});
  BOOST_REQUIRE_EQUAL(other.exit_code, 0);
  BOOST_CHECK(testing::read_text(folder / "square.safetensors") ==
              testing::read_text(folder / "out/square.safetensors"));
}

BOOST_AUTO_TEST_CASE(one_failed_prompt_does_not_stop_the_others_and_resume_makes_what_is_missing) {
  const ScratchFolder folder;
  const fs::path out = folder / "out";
  const auto prompts = folder.write("prompts.ndjson",
                                    "a red circle\n"
                                    R"({"prompt": "a green triangle", "cfg_scale": 3e38})"
                                    "\n"
                                    "a blue square\n");
  const Arguments arguments{"--prompts", prompts.string(), "--steps",   "2",
                            "--quiet",   "--output",       out.string()};
  const auto result = generate(arguments);
  BOOST_CHECK_EQUAL(result.exit_code, 1);
  for (const std::string phrase :
       {"1 of 3 prompts failed", "prompts.ndjson line 2", "002.mp4", "NaN or infinite"})
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos, result.errors);
  BOOST_CHECK(names_in(out).contains("001.mp4") && names_in(out).contains("003.mp4"));
  BOOST_CHECK(!names_in(out).contains("002.mp4"));

  const auto first = fs::last_write_time(out / "001.mp4");
  folder.write("prompts.ndjson", "a red circle\na green triangle\na blue square\n");
  Arguments again = arguments;
  again.insert(again.end(), {"--resume", "--log-file", (folder / "log.ndjson").string()});
  if (fs::remove(out / "002.mp4.steps.safetensors"))  // what the failed prompt left is of other settings now
    BOOST_TEST_MESSAGE("the second prompt failed while it was decoded");
  BOOST_CHECK_EQUAL(generate(again).exit_code, 0);
  BOOST_CHECK((names_in(out) == std::set<std::string>{"001.mp4", "002.mp4", "003.mp4"}));
  BOOST_CHECK(fs::last_write_time(out / "001.mp4") == first);
  BOOST_CHECK_EQUAL(
      count(testing::read_text(folder / "log.ndjson"), "\"stage\":\"decode\",\"event\":\"begin\""), 1u);

  folder.write("prompts.ndjson", "a red circle\na green triangle\na white square\n");
  const auto differs = generate(again);
  BOOST_CHECK_EQUAL(differs.exit_code, 2);
  for (const std::string phrase : {"prompts.ndjson line 3", "003.mp4", "a blue square", "a white square"})
    BOOST_CHECK_MESSAGE(differs.errors.find(phrase) != std::string::npos, differs.errors);
}

BOOST_AUTO_TEST_CASE(prompts_are_read_as_programs_of_every_system_save_them) {
  const ScratchFolder folder;
  const auto prompts_of = [&](const std::string& text) {
    std::vector<std::string> prompts;
    for (const auto& line : commands::read_prompts(folder.write("p.txt", text)))
      prompts.push_back(*line.wishes.prompt);
    return prompts;
  };
  const std::vector<std::string> two{"a red circle", "a blue square"};
  const std::string mark = "\xEF\xBB\xBF", no_break = "\xC2\xA0", wide = "\xE3\x80\x80",
                    narrow = "\xE2\x80\xAF";
  for (const std::string& text :
       {std::string("a red circle\ra blue square\r"), std::string("a red circle\r\n\r\na blue square"),
        mark + "a red circle\n" + mark + "a blue square\n",
        no_break + "a red circle" + no_break + "\n" + wide + " a blue square" + narrow,
        std::string("[\"a red circle\", {\"prompt\": \"a blue square\"}]"),
        mark + "\n[\n{\"prompt\": \"a red circle\"},\n\"a blue square\"\n]\n",
        no_break + "{\"prompt\": \"a red circle\"}\r{\"prompt\": \"a blue square\"}"})
    BOOST_CHECK_MESSAGE(prompts_of(text) == two, text);
  BOOST_CHECK((prompts_of("[slowly] a red circle") == std::vector<std::string>{"[slowly] a red circle"}));
  const auto third = commands::read_prompts(
      folder.write("p.txt", "a\nb\n" + mark + R"({"prompt": "a green triangle", "seed": 7})"));
  BOOST_CHECK(third.size() == 3 && third.back().wishes.sampling.seed->number == 7u);
}

BOOST_AUTO_TEST_CASE(prompts_in_another_encoding_or_with_control_characters_are_refused) {
  const ScratchFolder folder;
  const auto refuses = [&](const std::string& text, const std::vector<std::string>& phrases) {
    check_refused([&] { commands::read_prompts(folder.write("p.txt", text)); }, phrases);
  };
  using namespace std::string_literals;
  refuses("a\0 \0r\0e\0d\0\n\0"s, {"p.txt line 1", "UTF-16"});
  refuses(
      "\xFF\xFE"
      "a\0"s,
      {"p.txt line 1", "UTF-16"});
  refuses("\xFE\xFF\0a"s, {"p.txt line 1", "UTF-16"});
  refuses("fine\na\x1b[2Jb", {"p.txt line 2", "\\x1b"});
  refuses("[{\"prompt\": \"x\"}, 7]", {"p.txt element 2", "7"});
  refuses("[{\"prompt\": \"x\"}, {\"stepps\": 3}]", {"p.txt element 2", "steps"});
  refuses("[\n\"a\",\n", {"p.txt", "not valid JSON"});
  refuses("[]", {"p.txt", "no prompt"});
}

BOOST_AUTO_TEST_CASE(a_batch_keeps_its_names_when_it_grows) {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 999; ++i) text += "a red circle\n";
  text += R"({"prompt": "x", "output": "001.mp4"})";  // which is refused as the first one's, also among 1000
  testing::check_says(generate({"--prompts", folder.write("p.txt", text).string(), "--output",
                                (folder / "out").string(), "--frames", "1", "--steps", "1"}),
                      2, {"p.txt line 1000", "001.mp4", "p.txt line 1,"});
}

BOOST_AUTO_TEST_CASE(a_bad_line_is_named_with_its_number) {
  const ScratchFolder folder;
  const auto check = [&](const std::string& line, const std::vector<std::string>& phrases) {
    const auto path = folder.write("p.txt", "a good line\n\n" + line + "\n");
    check_refused([&] { commands::read_prompts(path); }, phrases);
  };
  check("{", {"p.txt line 3", "not valid JSON"});
  check(R"({"prompt": 7})", {"p.txt line 3", "\"prompt\"", "a string"});
  check(R"({"prompt": "x", "prompt": "y"})", {"p.txt line 3", "twice"});
  check(R"({"negative": "x"})", {"p.txt line 3", "\"prompt\""});
  check(R"({"prompt": "x", "stepps": 3})", {"p.txt line 3", "\"stepps\"", "did you mean steps?"});
  check(R"({"prompt": "x", "steps": 2.5})", {"p.txt line 3", "\"steps\"", "whole number"});
  check(R"({"prompt": "x", "seed": -1})", {"p.txt line 3", "\"seed\""});
  for (const std::string name : {"../v.mp4", "/v.mp4", "a/v.mp4", "", ".."})
    check(R"({"prompt": "x", "output": ")" + name + "\"}", {"p.txt line 3", "output"});
  check("a broken \xff byte", {"p.txt line 3", "UTF-8"});
  check("{\"prompt\": \"\\u001b[2J\", \"\\u001b[2J\": 1}", {"p.txt line 3", "\\u001b[2J"});
  check_refused([&] { commands::read_prompts(folder.write("p.txt", "\n \n")); }, {"p.txt", "no prompt"});
  check_refused([&] { commands::read_prompts(folder / "none.txt"); }, {"--prompts", "none.txt"});
}

BOOST_AUTO_TEST_CASE(every_line_is_judged_before_a_weight_is_loaded_and_nothing_is_written) {
  const ScratchFolder folder;
  const auto refused = [&](const std::string& line, const std::vector<std::string>& phrases,
                           Arguments more = {}) {
    const auto prompts = folder.write("p.txt", "a red circle\n" + line + "\n");
    Arguments arguments{"--prompts", prompts.string(), "--output", (folder / "out").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = generate(arguments);
    BOOST_CHECK_EQUAL(result.exit_code, 2);
    BOOST_CHECK_EQUAL(count(result.errors, "\n"), 1u);
    for (const auto& phrase : phrases)
      BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos,
                          result.errors << " lacks " << phrase);
    BOOST_CHECK(!fs::exists(folder / "out"));
  };
  refused(R"({"prompt": "x", "frames": 20})", {"p.txt line 2", "17 frames"});
  refused(R"({"prompt": "x", "steps": 0})", {"p.txt line 2", "steps is 0"});
  refused(R"({"prompt": "x", "output": "v.avi"})", {"p.txt line 2", ".avi"});
  refused("{\"prompt\": \"x\", \"output\": \"v.mp4\"}\n{\"prompt\": \"y\", \"output\": \"v.mp4\"}",
          {"p.txt line 3", "line 2", "v.mp4"});
  refused(R"({"prompt": "x", "output": "001.mp4"})", {"p.txt line 2", "001.mp4", "line 1"});
  refused(
      R"({"prompt": "x", "frames": 1048560, "height": 1048576, "width": 1048576, "output": "v.safetensors"})",
      {"p.txt line 2", "GiB"});
  refused("another", {"--prompts and --prompt"}, {"--prompt", "x"});
}

BOOST_AUTO_TEST_CASE(a_batch_killed_while_it_runs_goes_on_and_gives_the_same_bytes) {
  const ScratchFolder whole, folder;
  const auto prompts = folder.write("p.txt", "a red circle\na green triangle\n");
  const auto batch = [&](const fs::path& output) {
    return Arguments{"generate",
                     "--model",
                     demo,
                     "--prompts",
                     prompts.string(),
                     "--height",
                     "32",
                     "--width",
                     "32",
                     "--steps",
                     "40",
                     "--quiet",
                     "--reproducible",
                     "--checkpoint-every",
                     "1",
                     "--resume",
                     "--output",
                     output.string()};
  };
  const auto begin = std::chrono::steady_clock::now();
  BOOST_REQUIRE_EQUAL(testing::run_program(batch(whole / "out")).exit_code, 0);
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  for (const int third : {1, 2}) testing::kill_after(batch(folder / "out"), third * took / 3);
  BOOST_REQUIRE_EQUAL(testing::run_program(batch(folder / "out")).exit_code, 0);
  BOOST_CHECK((names_in(folder / "out") == std::set<std::string>{"001.mp4", "002.mp4"}));
  for (const std::string name : {"001.mp4", "002.mp4"})
    BOOST_CHECK(testing::read_text(folder / "out" / name) == testing::read_text(whole / "out" / name));
}

namespace {

std::vector<pipeline::Job> two_jobs(const ScratchFolder& folder) {
  std::vector<pipeline::Job> jobs(2);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    jobs[i].request.prompt = "a red circle";
    jobs[i].request.video = {17, 32, 32};
    jobs[i].request.settings.steps = 1;
    jobs[i].output = folder / (std::to_string(i + 1) + ".mp4");
  }
  return jobs;
}

std::string failure_of(const pipeline::Job& job) {
  try {
    if (job.failure) std::rethrow_exception(job.failure);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_prompt_that_the_memory_cannot_hold_says_so_and_the_others_go_on) {
  const ScratchFolder folder;
  auto jobs = two_jobs(folder);
  int steps = 0;
  Progress progress({.is_quiet = true});
  pipeline::Generator({demo}).run(jobs,
                                  {.observer =
                                       [&](const auto&, auto&) {
                                         if (++steps == 1) throw std::bad_alloc();
                                       }},
                                  progress);
  BOOST_CHECK_EQUAL(failure_of(jobs[0]), pipeline::out_of_memory);
  BOOST_CHECK_EQUAL(failure_of(jobs[1]), "");
  BOOST_CHECK(jobs[1].is_done && fs::exists(folder / "2.mp4"));
}

BOOST_AUTO_TEST_CASE(a_prompt_that_cannot_be_encoded_does_not_stop_the_others) {
  const ScratchFolder folder;
  auto jobs = two_jobs(folder);
  jobs[0].request.prompt = "a red \xff circle";
  Progress progress({.is_quiet = true});
  pipeline::Generator({demo}).run(jobs, {}, progress);
  BOOST_CHECK_MESSAGE(failure_of(jobs[0]).find("UTF-8") != std::string::npos, failure_of(jobs[0]));
  BOOST_CHECK_EQUAL(failure_of(jobs[1]), "");
  BOOST_CHECK(jobs[1].is_done && fs::exists(folder / "2.mp4"));
}

// The last of this file: the signal stays in this process.
BOOST_AUTO_TEST_CASE(a_batch_interrupted_before_a_step_says_that_resume_takes_up_what_is_there) {
  const ScratchFolder folder;
  const auto jobs_of = [&](bool is_first_done) {
    auto jobs = two_jobs(folder);
    jobs[0].is_done = is_first_done;
    return jobs;
  };
  const pipeline::Generator generator({demo});
  Progress progress({.is_quiet = true});
  catch_interrupts();
  std::raise(SIGINT);
  const auto message_of = [&](std::vector<pipeline::Job> jobs) -> std::string {
    try {
      generator.run(jobs, {}, progress);
    } catch (const Interrupted& interrupt) {
      return interrupt.what();
    }
    return "";
  };
  BOOST_CHECK(
      message_of(jobs_of(true))
          .ends_with("; the work on 1 of 2 prompts is there, and the same command with --resume goes on"));
  BOOST_CHECK(message_of(jobs_of(false)).ends_with("; nothing was written"));
}
