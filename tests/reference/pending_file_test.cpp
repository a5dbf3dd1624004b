#define BOOST_TEST_MODULE pending_file
#include "io/pending_file.hpp"

#include <atomic>
#include <csignal>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

#include "io/pending_folder.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {
const std::vector<std::string> extensions{".mp4", ".safetensors"};

/// A process that is killed while it writes to `target`.
template <class Pending>
void die_while_writing(const std::filesystem::path& target) {
  const pid_t child = fork();
  BOOST_REQUIRE_GE(child, 0);
  if (child == 0) {
    const Pending pending(target);
    if (std::filesystem::is_directory(pending.temporary()))
      std::ofstream(pending.temporary() / "a.png") << "x";
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  BOOST_REQUIRE_EQUAL(waitpid(child, &status, 0), child);
  BOOST_REQUIRE(WIFSIGNALED(status));
}

void check_folder(const std::filesystem::path& path) {
  require_writable_folder("--output", path, [](const std::string& name) { return name.ends_with(".png"); });
}
}  // namespace

BOOST_AUTO_TEST_CASE(a_good_path_is_accepted_and_nothing_is_created) {
  const ScratchFolder folder;
  BOOST_CHECK_NO_THROW(require_writable_output("--output", folder / "v.mp4", extensions));
  BOOST_CHECK_NO_THROW(require_writable_output("--output", folder / "v.safetensors", extensions));
  BOOST_CHECK_NO_THROW(require_writable_output("--output", "relative-name-without-folder.mp4", extensions));
  BOOST_CHECK(folder.names().empty());
}
BOOST_AUTO_TEST_CASE(an_unknown_extension_is_refused_with_the_known_ones) {
  const ScratchFolder folder;
  check_refused([&] { require_writable_output("--output", folder / "v.avi", extensions); },
                {"--output", "'.avi'", ".mp4", ".safetensors"});
  check_refused([&] { require_writable_output("--output", folder / "v", extensions); },
                {"--output", "''", ".mp4"});
}
BOOST_AUTO_TEST_CASE(a_folder_is_no_output) {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "d.mp4");
  check_refused([&] { require_writable_output("--output", folder / "d.mp4", extensions); },
                {"--output", "is a folder"});
  check_refused([&] { require_writable_output("--output", "", extensions); }, {"--output", "empty"});
}
BOOST_AUTO_TEST_CASE(what_exists_and_is_no_file_is_not_replaced) {
  const ScratchFolder folder;
  std::filesystem::create_symlink("/dev/null", folder / "null.mp4");
  check_refused([&] { require_writable_output("--output", folder / "null.mp4", extensions); },
                {"--output", "not a regular file"});
}
BOOST_AUTO_TEST_CASE(a_folder_that_does_not_exist_is_named) {
  const ScratchFolder folder;
  check_refused([&] { require_writable_output("--output", folder / "no/v.mp4", extensions); },
                {"--output", "/no does not exist"});
}
BOOST_AUTO_TEST_CASE(a_folder_that_cannot_be_written_is_named) {
  check_refused([&] { require_writable_output("--output", "/proc/v.mp4", extensions); },
                {"--output", "/proc/v.mp4 cannot be written"});
}
BOOST_AUTO_TEST_CASE(a_pending_file_has_its_name_only_once_published) {
  const ScratchFolder folder;
  const auto target = folder.write("out.bin", "old");
  {
    PendingFile abandoned(target);
    BOOST_CHECK_EQUAL(abandoned.temporary().parent_path(), folder.path());
    std::ofstream(abandoned.temporary()) << "half";
  }
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
  BOOST_CHECK_EQUAL(read_text(target), "old");
  PendingFile first(target), second(target);
  BOOST_CHECK(first.temporary() != second.temporary());
  std::ofstream(first.temporary()) << "new";
  first.publish();
  BOOST_CHECK_EQUAL(read_text(target), "new");
}
BOOST_AUTO_TEST_CASE(what_a_killed_process_left_goes_when_the_output_is_checked_again) {
  const ScratchFolder folder;
  die_while_writing<PendingFile>(folder / "v.mp4");
  die_while_writing<PendingFolder>(folder / "frames/");
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
  const PendingFolder alive(folder / "frames");
  require_writable_output("--output", folder / "v.mp4", extensions);
  check_folder(folder / "frames/");
  BOOST_CHECK(folder.names() == std::vector{alive.temporary().filename().string()});
}
BOOST_AUTO_TEST_CASE(what_a_killed_process_left_of_the_files_beside_an_output_goes_with_it) {
  const ScratchFolder folder;
  for (const char* const name : {"v.y4m.json", "v.y4m.steps.safetensors", "v.y4m.latents.safetensors"})
    die_while_writing<PendingFile>(folder / name);
  die_while_writing<PendingFile>(folder / "v.mp4");
  die_while_writing<PendingFile>(folder / "w.y4m.json");
  const PendingFile alive(folder / "v.y4m.json");
  require_writable_output("--output", folder / "v.y4m", {".y4m"});
  BOOST_CHECK_EQUAL(folder.names().size(), 3u);
  BOOST_CHECK(std::filesystem::exists(alive.temporary()));
  for (const auto& name : folder.names())
    BOOST_CHECK_MESSAGE(!name.starts_with(".v.y4m.") || name == alive.temporary().filename(), name);
}
BOOST_AUTO_TEST_CASE(a_folder_is_replaced_without_a_moment_in_which_there_is_none) {
  const ScratchFolder folder;
  std::atomic<bool> is_done = false;
  std::atomic<int> gaps = 0, looks = 0;
  folder.write("frames/0.png", "");
  std::thread reader([&] {
    for (; !is_done; ++looks) gaps += std::filesystem::exists(folder / "frames/0.png") ? 0 : 1;
  });
  for (int round = 0; round < 300 || looks < 300; ++round) {
    PendingFolder next(folder / "frames");
    std::ofstream(next.temporary() / "0.png") << round;
    next.publish();
  }
  is_done = true;
  reader.join();
  BOOST_CHECK_EQUAL(gaps.load(), 0);
  BOOST_CHECK_EQUAL(folder.names().size(), 1u);
}
BOOST_AUTO_TEST_CASE(a_link_to_a_folder_is_followed_and_one_to_nothing_is_refused) {
  const ScratchFolder folder;
  folder.write("disk/real/old.png", "");
  std::filesystem::create_directory_symlink(folder / "disk/real", folder / "frames");
  std::filesystem::create_symlink(folder / "gone", folder / "broken");
  for (const char* const name : {"frames", "frames/"}) {
    check_folder(folder / name);
    PendingFolder next(folder / name);
    std::ofstream(next.temporary() / "new.png") << "x";
    next.publish();
  }
  BOOST_CHECK(std::filesystem::is_symlink(folder / "frames"));
  BOOST_CHECK(std::filesystem::exists(folder / "disk/real/new.png"));
  BOOST_CHECK(!std::filesystem::exists(folder / "disk/real/old.png"));
  check_refused([&] { check_folder(folder / "broken"); }, {"--output", "broken is a link to nothing"});
}
BOOST_AUTO_TEST_CASE(the_disk_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above) {
  const ScratchFolder folder;
  for (const char* const name : {"new/", "new/deeper/v.mp4", "v.mp4"}) {
    check_refused([&] { require_free_space("--output", folder / name, 1e19); }, {"--output", "free"});
    BOOST_CHECK_NO_THROW(require_free_space("--output", folder / name, 1));
  }
}
