#include "commands/convert_select.hpp"

#include <algorithm>
#include <regex>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "model/block_slab.hpp"

namespace stepvideo::commands {
namespace {

std::regex compile(const char* flag, const std::string& text, const std::string& whole) {
  require(!text.empty(),
          [&] { return fmt::format("{}: {} has no regular expression", flag, io::in_quotes(whole)); });
  try {
    return std::regex(text, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    throw RequestError(
        fmt::format("{}: {} is not a regular expression: {}", flag, io::in_quotes(text), error.what()));
  }
}

/// A regular expression of the command line, and whether any name matched it.
struct Pattern {
  std::string text;
  std::regex regex;
  std::string replacement = {};
  bool is_used = false;

  bool matches(const std::string& name) {
    const bool found = std::regex_search(name, regex);
    is_used = is_used || found;
    return found;
  }
};

std::vector<Pattern> compile_keeps(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) patterns.push_back({text, compile("--keep", text, text)});
  return patterns;
}

std::vector<Pattern> compile_renames(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) {
    const auto equals = text.rfind('=');
    require(equals != text.npos, [&] {
      return fmt::format("--rename: {} has no '='; write REGEX=REPLACEMENT, as in '^model\\.='",
                         io::in_quotes(text));
    });
    patterns.push_back({text, compile("--rename", text.substr(0, equals), text), text.substr(equals + 1)});
  }
  return patterns;
}

void require_used(const char* flag, const std::vector<Pattern>& patterns, std::uint64_t names) {
  for (const auto& pattern : patterns)
    require(pattern.is_used, [&] {
      return fmt::format("{}: {} matches none of the {} names", flag, io::in_quotes(pattern.text), names);
    });
}

}  // namespace

std::map<std::string, ConvertedTensor> select_tensors(const ConvertRequest& request,
                                                      const std::vector<io::StoredTensors>& inputs) {
  constexpr std::size_t longest_name = 4096;  // std::regex recurses along its subject
  auto keeps = compile_keeps(request.keeps);
  auto renames = compile_renames(request.renames);
  std::map<std::string, ConvertedTensor> selected;
  std::vector<std::string> quantized;
  std::uint64_t names = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (const auto& [old_name, tensor] : inputs[i].tensors()) {
      ++names;
      const std::string origin = fmt::format("{} of {}", io::in_quotes(old_name.substr(0, longest_name)),
                                             request.inputs[i].string());
      require(old_name.size() <= longest_name || (keeps.empty() && renames.empty()), [&] {
        return fmt::format(
            "--rename and --keep: {}... of {} has a name of more than {} bytes; without them it "
            "can be converted",
            io::in_quotes(old_name.substr(0, 80)), request.inputs[i].string(), longest_name);
      });
      bool is_kept = keeps.empty();
      for (auto& keep : keeps) is_kept = keep.matches(old_name) || is_kept;
      if (!is_kept) continue;
      std::string name = old_name;
      for (auto& rename : renames)
        if (rename.matches(name)) name = std::regex_replace(name, rename.regex, rename.replacement);
      require(!name.empty() && name != "__metadata__" && name.size() <= longest_name, [&] {
        return fmt::format(
            "--rename: {} would be called {}; names of 1 to {} bytes other than __metadata__ work", origin,
            io::in_quotes(name.substr(0, 80)), longest_name);
      });
      const bool is_floating = io::is_floating_point(tensor.dtype);
      io::Dtype dtype = is_floating ? request.dtype.value_or(tensor.dtype) : tensor.dtype;
      if (request.dtype == io::Dtype::f8_e4m3 && !model::BlockSlab::is_fp8_matrix(name)) dtype = tensor.dtype;
      const auto [place, is_new] = selected.emplace(name, ConvertedTensor{name, dtype, tensor, origin});
      require(is_new, [&] {
        return fmt::format(
            "{} and {} would both be called {}; --rename gives another name, --keep leaves one out",
            place->second.origin, origin, io::in_quotes(name));
      });
      if (place->second.is_quantized()) quantized.push_back(name);
    }
  for (const std::string& name : quantized) {
    ConvertedTensor scales = selected.at(name);
    require(scales.from.shape.size() == 2, [&] {
      return fmt::format("--dtype fp8: {} has shape {}; a matrix is due", scales.origin,
                         io::to_string(scales.from.shape));
    });
    scales.name = io::scales_of(name), scales.dtype = io::Dtype::f32, scales.is_scales = true;
    const auto [place, is_new] = selected.emplace(scales.name, scales);
    require(is_new, [&] {
      return fmt::format(
          "--dtype fp8: the scales of {} would be called as {} is; --rename gives that another name",
          scales.origin, place->second.origin);
    });
  }
  require(request.dtype != io::Dtype::f8_e4m3 || !quantized.empty(), [&] {
    return fmt::format(
        "--dtype fp8: {} holds no matrix of a video transformer's blocks that is not fp8 already; "
        "bf16 works",
        request.inputs.front().string());
  });
  require_used("--keep", keeps, names);
  require_used("--rename", renames, names);
  require(!selected.empty(),
          [&] { return fmt::format("--input: {} holds no tensors", request.inputs.front().string()); });
  return selected;
}

}  // namespace stepvideo::commands
