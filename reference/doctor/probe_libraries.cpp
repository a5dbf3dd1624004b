#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include <stepvideo/core/shared_library.hpp>

#include "doctor/isolated.hpp"
#include "doctor/probe.hpp"

namespace stepvideo::doctor {
namespace {

namespace fs = std::filesystem;
using io::Json;

struct Wanted {
  const char* name;
  std::vector<std::string> files;  ///< the first that the loader finds
  std::string (*version)(const SharedLibrary& library);
  const char* wheel;  ///< what Python's package of it is called
};

std::string dotted(int code, int major_factor, int minor_factor) {
  return fmt::format("{}.{}.{}", code / major_factor, code % major_factor / minor_factor,
                     code % minor_factor);
}

// None of the functions asked touches a GPU.
const std::array<Wanted, 3>& wanted_libraries() {
  static const std::array<Wanted, 3> libraries{{
      {"cudart",
       {"libcudart.so.13", "libcudart.so.12"},
       // CUDA runtime API reference: 13000 is 13.0
       [](const SharedLibrary& library) {
         int code = 0;
         library.get<int(int*)>("cudaRuntimeGetVersion")(&code);
         return fmt::format("{}.{}", code / 1000, code % 1000 / 10);
       },
       "nvidia_cuda_runtime"},
      {"cublasLt",
       {"libcublasLt.so.13", "libcublasLt.so.12"},
       // cuBLASLt reference: 130100 is 13.1.0
       [](const SharedLibrary& library) {
         return dotted(static_cast<int>(library.get<std::size_t()>("cublasLtGetVersion")()), 10000, 100);
       },
       "nvidia_cublas"},
      {"nccl",
       {"libnccl.so.2"},
       // nccl.h, NCCL_VERSION: 22809 is 2.28.9; 2708 was 2.7.8
       [](const SharedLibrary& library) {
         int code = 0;
         library.get<int(int*)>("ncclGetVersion")(&code);
         return code >= 10000 ? dotted(code, 10000, 100) : dotted(code, 1000, 100);
       },
       "nvidia_nccl"},
  }};
  return libraries;
}

/// cuBLAS answers with three parts of its version; the fourth stands in the file's name, or in that of the
/// Python package beside it.
std::string with_build_number(const std::string& version, const fs::path& path, const std::string& wheel) {
  std::error_code unused;
  const fs::path real = fs::canonical(path, unused);
  const auto longer = [&](const std::string& text, std::size_t at) {
    const auto end = text.find_first_not_of("0123456789.", at);
    const auto found = text.substr(at, end == text.npos ? end : end - at);
    return found.starts_with(version + ".") ? found : std::string();
  };
  const std::string name = real.filename().string();
  if (const auto at = name.find(".so."); at != name.npos)
    if (auto found = longer(name, at + 4); !found.empty()) return found;
  // site-packages/nvidia/PART/lib/libX.so.N beside site-packages/nvidia_X_cuN-VERSION.dist-info
  const fs::path packages = real.parent_path().parent_path().parent_path().parent_path();
  if (packages.filename() != "site-packages") return version;
  for (fs::directory_iterator entry(packages, unused), end; entry != end; entry.increment(unused)) {
    if (unused) break;
    const std::string package = entry->path().filename().string();
    const auto dash = package.find('-');
    if (!package.starts_with(wheel) || dash == package.npos || !package.ends_with(".dist-info")) continue;
    if (auto found = longer(package.substr(0, package.rfind(".dist-info")), dash + 1); !found.empty())
      return found;
  }
  return version;
}

/// {"path", "version"} or {"problem"}
Json ask(const Wanted& wanted) {
  std::string problem;
  for (const auto& file : wanted.files) try {
      const SharedLibrary library(file);
      Json answer{{"path", library.path()}};
      const std::string version = wanted.version(library);
      answer["version"] = with_build_number(version, library.path(), wanted.wheel);
      return answer;
    } catch (const Error& error) {
      if (problem.empty()) problem = error.what();
    }
  return {{"problem", problem}};
}

}  // namespace

std::vector<LibraryFacts> probe_libraries(std::chrono::milliseconds deadline) {
  std::vector<std::unique_ptr<IsolatedWork>> work;
  for (const auto& wanted : wanted_libraries())
    work.push_back(std::make_unique<IsolatedWork>([&] { return ask(wanted); }, deadline));
  std::vector<LibraryFacts> found;
  for (std::size_t i = 0; i < work.size(); ++i) {
    const auto [answer, problem] = work[i]->await();
    const auto text = [&](const char* name) {
      return answer.is_object() && answer.contains(name) ? std::optional(answer.at(name).get<std::string>())
                                                         : std::nullopt;
    };
    const auto& wanted = wanted_libraries()[i];
    found.push_back({.name = wanted.name,
                     .path = text("path"),
                     .version = text("version"),
                     .problem = problem.empty() ? text("problem") : wanted.files.front() + " " + problem});
  }
  return found;
}

}  // namespace stepvideo::doctor
