// A folder of a test's own, and checks of the sentences that refuse a request.
#pragma once
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::testing {

/// An empty folder that goes away with its contents.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "stepvideo-test-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code unused;
    std::filesystem::remove_all(path_, unused);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes `contents` there, making folders on the way.
  std::filesystem::path write(const std::string& name, std::string_view contents) const {
    const auto path = path_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary)
        .write(contents.data(), static_cast<std::streamsize>(contents.size()));
    return path;
  }
  /// The names in the folder, hidden ones too.
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      names.push_back(entry.path().filename().string());
    return names;
  }

 private:
  std::filesystem::path path_;
};

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Fails unless `action` throws a RequestError of one line that holds every one of `phrases`.
template <class Action>
void check_refused(Action&& action, const std::vector<std::string>& phrases) {
  try {
    action();
    BOOST_ERROR("was accepted; it should have been refused with: " << phrases.front());
  } catch (const RequestError& error) {
    const std::string sentence = error.what();
    BOOST_CHECK_MESSAGE(sentence.find('\n') == sentence.npos, "more than one line: " << sentence);
    for (const auto& phrase : phrases)
      BOOST_CHECK_MESSAGE(sentence.find(phrase) != sentence.npos, "'" << sentence << "' lacks: " << phrase);
  }
}

}  // namespace stepvideo::testing
