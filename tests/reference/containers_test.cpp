// Outputs and limits as containers have them: mount points, folders of somebody else, little memory.
#define BOOST_TEST_MODULE containers
#include <fstream>

#include "io/manifest.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> small{"--model",  STEPVIDEO_DEMO_MODEL,
                                     "--prompt", "a",
                                     "--frames", "17",
                                     "--height", "32",
                                     "--width",  "32",
                                     "--steps",  "2",
                                     "--quiet"};

boost::test_tools::assertion_result can_mount(boost::unit_test::test_unit_id) {
  return std::system("unshare -m true 2>/dev/null") == 0;
}

std::string command(const std::vector<std::string>& arguments) {
  std::string line = "'" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  return line;
}

/// Runs `script` in a mount namespace of its own, in the folder. Returns its exit code.
int in_namespace(const ScratchFolder& folder, const std::string& script) {
  const auto file = folder.write("script", "cd '" + folder.path().string() + "'\n" + script + "\n");
  return exit_code_of(std::system(("unshare -m bash -e '" + file.string() + "' >/dev/null").c_str()));
}

std::string generate(const std::string& output, const std::vector<std::string>& more = {}) {
  return command(with(with({"generate"}, small), with({"--output", output}, more)));
}

std::size_t frames_in(const fs::path& folder) {
  std::size_t frames = 0;
  for (const auto& entry : fs::directory_iterator(folder))
    frames += entry.path().extension() == ".png" ? 1 : 0;
  return frames;
}

}  // namespace

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(a_folder_that_is_mounted_is_filled_and_filled_again) {
  const ScratchFolder folder;
  fs::create_directories(folder / "volume");
  fs::create_directories(folder / "out");
  const std::string mount = "mount --bind volume out\n";
  BOOST_CHECK_EQUAL(in_namespace(folder, mount + generate("out/")), 0);
  BOOST_CHECK_EQUAL(frames_in(folder / "volume"), 17u);
  BOOST_CHECK(io::read_manifest(folder / "volume"));
  // Another request with fewer frames: none of the old ones stay, and nothing but frames and manifest.
  const auto again = with({"--overwrite", "--frames", "1"}, {});
  BOOST_CHECK_EQUAL(
      in_namespace(folder,
                   mount + command(with(with({"generate"}, {"--model", STEPVIDEO_DEMO_MODEL, "--prompt", "b",
                                                            "--height", "32", "--width", "32", "--steps", "1",
                                                            "--quiet", "--output", "out/"}),
                                        again))),
      0);
  BOOST_CHECK_EQUAL(frames_in(folder / "volume"), 1u);
  BOOST_CHECK_EQUAL(std::distance(fs::directory_iterator(folder / "volume"), fs::directory_iterator()), 2);
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(the_work_of_a_mounted_folder_lies_in_it_and_is_gone_on_with) {
  const ScratchFolder folder;
  fs::create_directories(folder / "volume");
  fs::create_directories(folder / "out");
  const std::string mount = "mount --bind volume out\n";
  BOOST_CHECK_EQUAL(in_namespace(folder, mount + generate("out/", {"--stop-after", "1"})), 0);
  BOOST_CHECK(fs::exists(folder / "volume/out.steps.safetensors"));
  BOOST_CHECK_EQUAL(in_namespace(folder, mount + "rm out/*.png\n" + generate("out/", {"--resume"})), 0);
  BOOST_CHECK_EQUAL(frames_in(folder / "volume"), 17u);
  BOOST_CHECK(!fs::exists(folder / "volume/out.steps.safetensors"));
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(a_file_that_is_mounted_is_filled) {
  const ScratchFolder folder;
  folder.write("volume.mp4", "");
  folder.write("out.mp4", "");
  BOOST_CHECK_EQUAL(in_namespace(folder, "mount --bind volume.mp4 out.mp4\n" + generate("out.mp4")), 0);
  BOOST_CHECK(io::read_manifest(folder / "volume.mp4"));
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(a_folder_of_ones_own_in_somebody_elses_is_filled) {
  const ScratchFolder folder;
  fs::create_directories(folder / "top/frames");
  const std::string frames = (folder / "top/frames").string();
  const std::string as_nobody =
      "chown nobody top/frames; chmod 711 .; chmod 755 top\n"
      "setpriv --reuid=65534 --regid=65534 --clear-groups ";
  BOOST_CHECK_EQUAL(in_namespace(folder, as_nobody + generate(frames + "/")), 0);
  BOOST_CHECK_EQUAL(frames_in(folder / "top/frames"), 17u);
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(what_somebody_else_owns_in_a_folder_for_all_is_refused_before_the_work) {
  const ScratchFolder folder;
  fs::create_directories(folder / "all");
  folder.write("all/a.mp4", "");
  BOOST_CHECK_EQUAL(in_namespace(folder,
                                 "chmod 711 .; chmod 1777 all\n"
                                 "setpriv --reuid=65534 --regid=65534 --clear-groups " +
                                     generate((folder / "all/a.mp4").string()) + " 2>err"),
                    2);
  BOOST_CHECK(read_text(folder / "err").find("belongs to somebody else") != std::string::npos);
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_mount))
BOOST_AUTO_TEST_CASE(a_limit_of_memory_of_either_version_is_seen_by_every_command_that_runs_a_model) {
  const ScratchFolder folder;
  fs::create_directories(folder / "one/memory");
  fs::create_directories(folder / "two");
  folder.write("one/memory/memory.limit_in_bytes", "53000000\n");
  folder.write("one/memory/memory.usage_in_bytes", "30000000\n");
  folder.write("two/memory.max", "53000000\n");
  folder.write("two/memory.current", "1\n");
  const std::string model = STEPVIDEO_DEMO_MODEL;
  BOOST_REQUIRE_EQUAL(run_program({"generate", "--model", model, "--prompt", "a", "--steps", "1", "--quiet",
                                   "--keep-latents", "--output", (folder / "a.mp4").string()})
                          .exit_code,
                      0);
  for (const std::string version : {"one", "two"})
    for (const std::string& run :
         {command({"generate", "--model", model, "--prompt", "a", "--quiet", "--output", "b.mp4"}),
          command({"decode", "--model", model, "--quiet", "--latents", "a.mp4.latents.safetensors",
                   "--output", "b.mp4"}),
          command(
              {"encode", "--model", model, "--quiet", "--video", "a.mp4", "--output", "b.safetensors"})}) {
      BOOST_CHECK_EQUAL(
          in_namespace(folder, "mount --bind " + version + " /sys/fs/cgroup\n" + run + " 2>err"), 2);
      BOOST_CHECK_MESSAGE(read_text(folder / "err").find("GiB of memory") != std::string::npos,
                          version << ": " << read_text(folder / "err"));
    }
}
