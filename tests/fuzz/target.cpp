#include "target.hpp"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo::fuzz {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& why) {
  throw std::logic_error(why);
}

void check_sentence(std::string_view sentence) {
  constexpr std::size_t longest = 32768;  // a checkpoint lists up to a hundred problems
  if (sentence.empty() || sentence.size() > longest)
    fail("a refusal of " + std::to_string(sentence.size()) + " bytes is no sentence");
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(sentence, is_control))
    fail("a refusal drives the terminal: " + std::string(sentence));
}

/// A folder of this process.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "stepvideo-fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) fail("no folder for temporary files");
    path_ = name;
  }
  ~Folder() {
    std::error_code unused;
    fs::remove_all(path_, unused);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

bool accepts(Bytes file) {
  try {
    read_file(file);
    return true;
  } catch (const RequestError& refusal) {
    check_sentence(refusal.what());
    return false;
  }
}

fs::path as_file(Bytes bytes) {
  static const int file = memfd_create("stepvideo-fuzz", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, 0) != 0 ||
      pwrite(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    fail("no memory for a file");
  return "/proc/self/fd/" + std::to_string(file);
}

fs::path as_folder(Bytes files, std::initializer_list<std::string_view> names) {
  static const Folder folder;
  for (const std::string_view name : names) fs::remove(folder.path() / name);
  constexpr std::string_view mark = "=== ";
  std::string_view rest = text_of(files);
  while (rest.starts_with(mark)) {
    const std::string_view name = rest.substr(mark.size(), rest.find('\n') - mark.size());
    rest.remove_prefix(std::min(rest.size(), mark.size() + name.size() + 1));
    const auto next = rest.find("\n=== ");
    const std::string_view contents = rest.substr(0, next);
    rest.remove_prefix(next == rest.npos ? rest.size() : next + 1);
    if (std::ranges::find(names, name) == names.end()) continue;
    const fs::path path = folder.path() / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary)
        .write(contents.data(), static_cast<std::streamsize>(contents.size()));
  }
  return folder.path();
}

}  // namespace stepvideo::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  stepvideo::fuzz::accepts({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
