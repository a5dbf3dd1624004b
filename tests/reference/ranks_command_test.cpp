// denoise and generate on several ranks of the CPU, as a user runs them.
#define BOOST_TEST_MODULE ranks_command
#include <algorithm>

#include "io/manifest.hpp"
#include "pipeline/step_file.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder, testing::with, testing::check_says, testing::read_text;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;
using Arguments = std::vector<std::string>;

/// A small video of 3 x 4 x 6 latent pixels: three times 24 tokens.
Arguments small(const fs::path& output, const Arguments& more = {}) {
  return with({"generate", "--model", demo, "--prompt", "a red circle moves up", "--height", "64", "--width",
               "96", "--steps", "6", "--checkpoint-every", "1", "--reproducible", "--device", "cpu",
               "--output", output.string()},
              more);
}

testing::ProgramResult run(const Arguments& arguments) {
  return testing::run_program(arguments, "OMP_WAIT_POLICY=passive");
}

void succeed(const Arguments& arguments) {
  const auto result = run(arguments);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
}

const std::string& video_of_one_rank() {
  static const std::string bytes = [] {
    const ScratchFolder folder;
    succeed(small(folder / "v.safetensors", {"--quiet"}));
    return read_text(folder / "v.safetensors");
  }();
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_video_of_several_ranks_is_that_of_one) {
  const ScratchFolder folder;
  for (const Arguments& ranks :
       {Arguments{"--gpus", "2"}, Arguments{"--gpus", "6", "--topology", "guidance=2,ulysses=3"},
        Arguments{"--topology", "ulysses=2,sharding=uneven"}}) {
    const fs::path output = folder / "v.safetensors";
    succeed(small(output, with(ranks, {"--quiet"})));
    if (ranks[1] != "2")
      BOOST_CHECK_MESSAGE(read_text(output) == video_of_one_rank(), ranks.back() << " has other bytes");
    fs::remove(output);
  }
}

BOOST_AUTO_TEST_CASE(logs_of_all_ranks_are_explained) {
  const ScratchFolder folder;
  const fs::path log = folder / "run.ndjson", output = folder / "v.safetensors";
  auto arguments = small(output, {"--topology", "ring=3", "--log-file", log.string()});
  std::erase(arguments, "--reproducible");
  succeed(arguments);
  BOOST_CHECK(fs::exists(folder / "run.rank2.ndjson"));
  const auto manifest = io::read_manifest(output);
  BOOST_REQUIRE(manifest);
  BOOST_CHECK_EQUAL(manifest->value("topology", ""), "guidance=1,tensor=1,ulysses=1,ring=3");
  const auto explained = run({"explain", log.string()});
  BOOST_CHECK_EQUAL(explained.exit_code, 0);
  BOOST_CHECK_MESSAGE(explained.output.find("3 ranks") != std::string::npos, explained.output);
  // The ranks that leave the rest to rank 0 are not behind.
  BOOST_CHECK_MESSAGE(explained.output.find("are behind") == std::string::npos, explained.output);
}

BOOST_AUTO_TEST_CASE(chunks_are_decoded_by_several_ranks_to_the_same_video) {
  const ScratchFolder folder;
  const auto video = [&](const std::string& name, const Arguments& more) {
    succeed(with({"generate",
                  "--model",
                  demo,
                  "--prompt",
                  "a red circle moves up",
                  "--frames",
                  "51",
                  "--height",
                  "32",
                  "--width",
                  "64",
                  "--steps",
                  "1",
                  "--keep-latents",
                  "--reproducible",
                  "--quiet",
                  "--device",
                  "cpu",
                  "--output",
                  (folder / name).string()},
                 more));
    return read_text(folder / name);
  };
  const fs::path log = folder / "run.ndjson";
  const std::string alone = video("one.safetensors", {});
  BOOST_CHECK(video("pair.safetensors", {"--topology", "guidance=2", "--log-file", log.string()}) == alone);
  const std::string other_rank = read_text(folder / "run.rank1.ndjson");
  BOOST_CHECK(other_rank.find(R"("stage":"decode","event":"step","step":1)") != other_rank.npos);
  const auto explained = run({"explain", log.string()});
  BOOST_CHECK_MESSAGE(explained.exit_code == 0 && explained.output.find("are behind") == std::string::npos,
                      explained.output);

  const fs::path latents = pipeline::latents_file_of(folder / "one.safetensors");
  const auto decode = [&](const Arguments& more) {
    return run(with({"decode", "--model", demo, "--latents", latents.string(), "--device", "cpu",
                     "--reproducible", "--output", (folder / "decoded.safetensors").string()},
                    more));
  };
  std::string of_one_rank;
  for (const char* const ranks : {"1", "2", "5"}) {
    const auto result = decode({"--gpus", ranks});
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    const std::string bytes = read_text(folder / "decoded.safetensors");
    if (of_one_rank.empty()) of_one_rank = bytes;
    BOOST_CHECK_MESSAGE(bytes == of_one_rank, ranks << " ranks decode other frames");
  }
  check_says(decode({"--gpus", "2", "--topology", "ring=2"}), 2, {"--topology", "--gpus alone works"});
}

BOOST_AUTO_TEST_CASE(a_run_that_is_interrupted_goes_on_with_another_number_of_ranks) {
  const ScratchFolder folder;
  const fs::path output = folder / "v.safetensors", log = folder / "run.ndjson";
  const auto stopped =
      testing::interrupt_at(small(output, {"--topology", "ulysses=3", "--log-file", log.string(), "--quiet"}),
                            log, R"("event":"step","step":2)");
  BOOST_CHECK_EQUAL(stopped.exit_code, 130);
  BOOST_CHECK_MESSAGE(stopped.errors.find("--resume goes on") != std::string::npos, stopped.errors);
  BOOST_CHECK(fs::exists(pipeline::step_file_of(output)));
  // Every rank left behind the same step.
  for (const char* const name : {"run.ndjson", "run.rank1.ndjson", "run.rank2.ndjson"})
    BOOST_CHECK_MESSAGE(read_text(folder / name).find("interrupted after step") != std::string::npos, name);
  succeed(small(output, {"--resume", "--topology", "guidance=2", "--quiet"}));
  BOOST_CHECK(read_text(output) == video_of_one_rank());
}

BOOST_AUTO_TEST_CASE(topologies_that_break_a_rule_are_refused_with_the_nearest_that_works) {
  const ScratchFolder folder;
  const auto refused = [&](const Arguments& more, const std::vector<std::string>& phrases) {
    check_says(run(small(folder / "v.mp4", more)), 2, phrases);
    BOOST_CHECK(folder.names().empty());
  };
  refused({"--topology", "tensor=4"}, {"more than 3 heads", "the nearest that works is"});
  refused({"--topology", "ulysses=2"},
          {"does not divide 3 heads",
           "nearest that works is guidance=1,tensor=1,ulysses=2,ring=1,sharding=uneven"});
  refused({"--gpus", "4", "--topology", "guidance=2"}, {"makes 2 ranks and there are 4"});
  refused({"--topology", "guidance=2", "--cfg-scale", "1"}, {"no", "negative prompt", "guidance=1"});
  refused({"--topology", "guidance=2", "--deadline-floor", "0"}, {"--deadline-floor"});
  refused({"--gpus", "0"}, {"--gpus is 0"});
  check_says(run({"transformer", "--model", demo, "--device", "cpu", "--gpus", "2", "--input", "x",
                  "--output", "y"}),
             2, {"transformer runs on one rank"});
  auto on_any_device = small(folder / "v.mp4", {"--gpus", "2"});
  *std::ranges::find(on_any_device, "cpu") = "auto";
  check_says(run(on_any_device), 2, {"--device auto", "--device cpu works"});
  // What is for GPUs alone says so on the CPU.
  refused({"--gpus", "2", "--share-gpus"}, {"--share-gpus is for several ranks on GPUs", "leave it out"});
  refused({"--gpus", "2", "--exchange", "nccl"}, {"--exchange is for several ranks on GPUs"});
  refused({"--nccl-ctas", "4"}, {"--nccl-ctas is for several ranks on GPUs, and the run has one on the CPU"});
  refused({"--gpus", "2", "--exchange", "mpi"}, {"--exchange: 'mpi' is not one of"});
}

BOOST_AUTO_TEST_CASE(a_batch_on_ranks_loads_the_transformer_once) {
  const ScratchFolder folder;
  const auto prompts = folder.write("prompts.txt", "a red circle moves up\na blue square\n");
  succeed({"generate",
           "--model",
           demo,
           "--prompts",
           prompts.string(),
           "--height",
           "64",
           "--width",
           "96",
           "--steps",
           "2",
           "--device",
           "cpu",
           "--gpus",
           "2",
           "--topology",
           "guidance=2",
           "--log-file",
           (folder / "run.ndjson").string(),
           "--quiet",
           "--output",
           (folder / "videos").string()});
  BOOST_CHECK(fs::exists(folder / "videos/001.mp4") && fs::exists(folder / "videos/002.mp4"));
  const std::string log = read_text(folder / "run.rank1.ndjson");
  const std::string load = R"("stage":"load transformer","event":"begin")";
  BOOST_CHECK(log.find(load) != std::string::npos && log.find(load) == log.rfind(load));
}

BOOST_AUTO_TEST_CASE(prompts_are_dealt_to_replicas_and_each_video_is_that_of_one_rank) {
  const ScratchFolder folder;
  const auto prompts = folder.write("prompts.txt", "a red circle moves up\na blue square\na green star\n");
  const auto batch = [&](const std::string& name, const Arguments& more) {
    succeed(with({"generate", "--model", demo, "--prompts", prompts.string(), "--height", "64", "--width",
                  "96", "--steps", "3", "--device", "cpu", "--reproducible", "--quiet", "--output",
                  (folder / name).string()},
                 more));
  };
  batch("one", {});
  batch("dealt", {"--replicas", "2", "--gpus", "4", "--topology", "guidance=2", "--log-file",
                  (folder / "run.ndjson").string()});
  for (const char* const name : {"001.mp4", "002.mp4", "003.mp4"})
    BOOST_CHECK_MESSAGE(read_text(folder.path() / "one" / name) == read_text(folder.path() / "dealt" / name),
                        name);
  for (const char* const name : {"run.rank1.ndjson", "run.replica1.ndjson", "run.replica1.rank1.ndjson"})
    BOOST_CHECK_MESSAGE(fs::exists(folder / name), name);
  check_says(run(small(folder / "v.mp4", {"--replicas", "2"})), 2, {"--replicas 2", "--prompts"});
  check_says(run({"generate", "--model", demo, "--prompts", prompts.string(), "--device", "cpu", "--replicas",
                  "2", "--gpus", "3", "--output", (folder / "v").string()}),
             2, {"--replicas 2 does not divide --gpus 3"});
}
