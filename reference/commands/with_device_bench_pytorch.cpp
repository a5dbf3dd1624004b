#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <stdlib.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "commands/bench_pytorch.hpp"
#include "io/printable.hpp"
#include "support/attention_rows.hpp"
#include "support/pytorch_script.hpp"

namespace stepvideo::commands {
namespace {

/// The script as a file for the time of one run.
class ScriptFile {
 public:
  explicit ScriptFile(const char* script) {
    path_ = (std::filesystem::temp_directory_path() / "stepvideo-bench-XXXXXX").string();
    const int descriptor = mkstemp(path_.data());
    std::FILE* const file = descriptor < 0 ? nullptr : fdopen(descriptor, "w");
    if (file == nullptr) throw Error(path_ + ": the script for PyTorch cannot be written there");
    std::fputs(script, file);
    std::fclose(file);
  }
  ~ScriptFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  ScriptFile(const ScriptFile&) = delete;
  ScriptFile& operator=(const ScriptFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// What a shell's command prints. Throws Error when it does not exit with 0.
std::string output_of(const std::string& command, const std::string& what) {
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw Error(what + " could not be started");
  std::string output;
  std::array<char, 4096> part;
  while (const std::size_t size = std::fread(part.data(), 1, part.size(), pipe))
    output.append(part.data(), size);
  const int status = pclose(pipe);
  if (status != 0)
    throw Error(
        fmt::format("{} failed (status {}); it needs a Python whose PyTorch sees the GPU", what, status));
  return output;
}

}  // namespace

PytorchTimes time_pytorch(const std::string& python, const std::vector<std::string>& benches) {
  const ScriptFile script(bench::pytorch_script);
  std::string command = io::in_shell(python) + " " + io::in_shell(script.path());
  const auto is_chosen = [&](const char* name) { return std::ranges::find(benches, name) != benches.end(); };
  const auto add_attention = [&](const char* name, const std::vector<bench::AttentionCase>& cases) {
    if (!is_chosen(name)) return;
    for (const auto& shape : cases)
      command += " --attention " + io::in_shell(fmt::format("{}={}:{}:{}:{}", shape.name, shape.backend,
                                                            shape.queries, shape.visible, shape.heads));
  };
  add_attention("attention_device", bench::attention_cases());
  add_attention("warp_attention", bench::warp_attention_cases());
  add_attention("fp8_attention_device", bench::fp8_attention_cases());
  for (const auto& name : benches) command += " --kernel " + io::in_shell(name);

  const std::string what = "--pytorch " + python;
  const std::string output = output_of(command, what);
  try {
    const auto json = nlohmann::json::parse(output);
    PytorchTimes times{fmt::format("PyTorch {} with CUDA {}, cuDNN {}", json.at("pytorch").get<std::string>(),
                                   json.at("cuda").get<std::string>(), json.at("cudnn").get<int>()),
                       {}};
    for (const auto& [name, row] : json.at("rows").items())
      times.rows[name] = {row.at("library").get<std::string>(), row.at("milliseconds").get<double>()};
    return times;
  } catch (const nlohmann::json::exception&) {
    throw Error(what + " printed something that is not the comparison: " + output.substr(0, 200));
  }
}

PytorchBlock time_pytorch_block(const std::string& python, LatentShape latent, index_t visible_tokens) {
  const ScriptFile script(bench::pytorch_block_script);
  const std::string what = "--pytorch " + python;
  const std::string output = output_of(
      fmt::format("{} {} --tokens {}x{}x{} --visible {}", io::in_shell(python), io::in_shell(script.path()),
                  latent.frames, latent.height, latent.width, visible_tokens),
      what);
  try {
    const auto json = nlohmann::json::parse(output);
    return {json.at("versions").get<std::string>(), json.at("milliseconds").get<double>(),
            json.at("peak_bytes").get<double>()};
  } catch (const nlohmann::json::exception&) {
    throw Error(what + " printed something that is not the comparison: " + output.substr(0, 200));
  }
}

}  // namespace stepvideo::commands
