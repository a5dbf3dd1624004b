#define BOOST_TEST_MODULE pending_file
#include "io/pending_file.hpp"

#include <boost/test/unit_test.hpp>

#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {
const std::vector<std::string> extensions{".mp4", ".safetensors"};
}

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
