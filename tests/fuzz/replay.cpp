// Reads a corpus through a target, and every file again with small damage: what libFuzzer would do, in a
// moment, for any compiler. replay FOLDER MUTATIONS: files called valid* must be accepted, those called
// refused* must be refused; each is then read MUTATIONS times with other damage, the same in every run. A
// crash, a foreign exception, many seconds over one file or more than a gigabyte of memory end the program,
// and leave the file behind as replay-failure.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "target.hpp"

namespace stepvideo::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr unsigned longest_seconds = 60;  // of one file, or of 64 damaged ones, on a busy machine

std::string current;  // what is being read, for leave_behind()

extern "C" void leave_behind(int signal) {
  const int file = open("replay-failure", O_WRONLY | O_CREAT | O_TRUNC, 0666);
  const bool is_left = file >= 0 && write(file, current.data(), current.size()) >= 0;
  constexpr std::string_view slow = "too slow", crash = "a crash";
  const std::string_view what = signal == SIGALRM ? slow : crash;
  (void)!write(STDERR_FILENO, what.data(), what.size());
  constexpr std::string_view place = "; the file is replay-failure\n";
  if (is_left) (void)!write(STDERR_FILENO, place.data(), place.size());
  _exit(1);
}

/// An address space of a gigabyte more than now; the sanitizers, which need terabytes of it, limit single
/// allocations instead (below).
void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__)
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{1} << 30);
  const rlimit limit{most, most};
  setrlimit(RLIMIT_AS, &limit);
#endif
}

bool is_accepted(std::string bytes) {
  current = std::move(bytes);
  return accepts(std::as_bytes(std::span(current)));
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  /// One to four small damages.
  std::string damaged(std::string bytes) {
    for (std::uint32_t left = 1 + below(4); left > 0; --left) damage(bytes);
    return bytes;
  }

 private:
  // Not std::uniform_int_distribution, whose numbers depend on the library.
  std::uint32_t below(std::size_t end) {
    return static_cast<std::uint32_t>(engine_() % std::max<std::size_t>(end, 1));
  }

  std::string piece_of(const std::string& bytes) {
    const std::size_t begin = below(bytes.size() + 1);
    return bytes.substr(begin, below(std::min<std::size_t>(bytes.size() - begin, 64) + 1));
  }

  void damage(std::string& bytes) {
    constexpr std::array<std::uint64_t, 8> numbers{0,
                                                   1,
                                                   0x7FFF'FFFF,
                                                   0x8000'0000,
                                                   0xFFFF'FFFF,
                                                   0x7FFF'FFFF'FFFF'FFFF,
                                                   0x8000'0000'0000'0000,
                                                   ~std::uint64_t{0}};
    constexpr std::array<std::string_view, 12> words{
        "-1", "0",  "1e308", "1e999",    "18446744073709551615", "9223372036854775807", "null",
        "[]", "{}", "\"\"",  "\xC0\x80", "\xF0\x9F\x92\xA9"};
    const std::size_t at = below(bytes.size() + 1);
    switch (below(8)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(below(256));
        break;
      case 2:
        bytes.erase(at, below(16));
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.insert(at, piece_of(bytes));
        break;
      case 5:
        bytes.insert(at, piece_of(corpus_[below(corpus_.size())]));
        break;
      case 6:
        bytes.replace(at, below(8), words[below(words.size())]);
        break;
      default: {
        const std::uint64_t number = numbers[below(numbers.size())];
        const std::size_t width = std::min<std::size_t>(std::size_t{1} << below(4), bytes.size() - at);
        std::copy_n(reinterpret_cast<const char*>(&number), width,
                    bytes.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 engine_{20260101};
};

int replay(const fs::path& folder, int mutations) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder)) paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<std::string> corpus;
  std::size_t accepted = 0, wrong = 0;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    alarm(longest_seconds);
    const bool is_good = is_accepted(corpus.back());
    const std::string name = path.filename().string();
    if (is_good ? name.starts_with("refused") : name.starts_with("valid")) {
      std::fprintf(stderr, "%s was %s\n", path.c_str(), is_good ? "accepted" : "refused");
      ++wrong;
    }
    accepted += is_good;
  }
  std::printf("%zu files, %zu accepted", corpus.size(), accepted);
  Mutator mutator(corpus);
  accepted = 0;
  for (const std::string& seed : corpus)
    for (int i = 0; i < mutations; ++i) {
      if (i % 64 == 0) alarm(longest_seconds);
      accepted += is_accepted(mutator.damaged(seed));
    }
  std::printf("; %zu damaged, %zu accepted\n", corpus.size() * static_cast<std::size_t>(mutations), accepted);
  if (corpus.empty()) std::fprintf(stderr, "%s holds no files\n", folder.c_str());
  return wrong == 0 && !corpus.empty() ? 0 : 1;
}

}  // namespace
}  // namespace stepvideo::fuzz

extern "C" const char* __asan_default_options() {
  return "max_allocation_size_mb=1024:handle_abort=0:handle_segv=0";
}

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "replay FOLDER MUTATIONS\n");
    return 2;
  }
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM})
    std::signal(signal, stepvideo::fuzz::leave_behind);
  stepvideo::fuzz::limit_memory();
  return stepvideo::fuzz::replay(arguments[1], std::atoi(arguments[2]));
}
