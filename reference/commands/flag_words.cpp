#include "commands/flag_words.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/extension.hpp"
#include "io/printable.hpp"

namespace stepvideo::commands {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::array<Pair, 6> short_flags{
    {{"-p", "prompt"}, {"-o", "output"}, {"-W", "width"}, {"-H", "height"}, {"-s", "seed"}, {"-h", "help"}}};

/// What other programs call it, and what it is here; the first that the command has counts.
constexpr Pair other_flags[] = {{"cfg", "cfg-scale"},
                                {"guidance", "cfg-scale"},
                                {"guidance-scale", "cfg-scale"},
                                {"scale", "cfg-scale"},
                                {"shift", "time-shift"},
                                {"flow-shift", "time-shift"},
                                {"num-frames", "frames"},
                                {"length", "frames"},
                                {"video-length", "frames"},
                                {"duration", "frames"},
                                {"infer-steps", "steps"},
                                {"num-inference-steps", "steps"},
                                {"num-steps", "steps"},
                                {"sampling-steps", "steps"},
                                {"iterations", "steps"},
                                {"negative-prompt", "negative"},
                                {"neg-prompt", "negative"},
                                {"dtype", "precision"},
                                {"precision", "dtype"},
                                {"torch-dtype", "precision"},
                                {"out", "output"},
                                {"outfile", "output"},
                                {"save", "output"},
                                {"save-path", "output"},
                                {"output-path", "output"},
                                {"output-dir", "output"},
                                {"ckpt", "model"},
                                {"checkpoint", "model"},
                                {"model-path", "model"},
                                {"model-dir", "model"},
                                {"in", "input"},
                                {"in", "video"},
                                {"in", "latents"},
                                {"input", "video"},
                                {"input", "latents"},
                                {"file", "input"},
                                {"model", "input"},
                                {"text", "prompt"},
                                {"caption", "prompt"},
                                {"prompt-file", "prompts"},
                                {"batch", "prompts"},
                                {"rate", "fps"},
                                {"frame-rate", "fps"},
                                {"framerate", "fps"},
                                {"noise-seed", "seed"},
                                {"rng", "seed"},
                                {"num-gpus", "gpus"},
                                {"ngpus", "gpus"},
                                {"nproc", "gpus"},
                                {"world-size", "gpus"},
                                {"force", "overwrite"},
                                {"replace", "overwrite"},
                                {"continue", "resume"},
                                {"log", "log-file"},
                                {"events", "log-file"},
                                {"silent", "quiet"},
                                {"num-threads", "threads"},
                                {"nthreads", "threads"},
                                {"jobs", "threads"},
                                {"vram", "gpu-memory"},
                                {"max-memory", "gpu-memory"},
                                {"offload", "gpu-memory"},
                                {"cpu-offload", "gpu-memory"},
                                {"tiling", "vae-memory"},
                                {"vae-tiling", "vae-memory"},
                                {"repeat", "like"},
                                {"shard-size", "max-shard-size"}};

constexpr Pair other_commands[] = {
    {"run", "generate"},  {"create", "generate"},       {"make", "generate"},   {"sample", "generate"},
    {"t2v", "generate"},  {"txt2vid", "generate"},      {"info", "inspect"},    {"show", "inspect"},
    {"probe", "inspect"}, {"check", "doctor"},          {"estimate", "plan"},   {"quantize", "convert"},
    {"cast", "convert"},  {"merge", "convert"},         {"benchmark", "bench"}, {"analyze", "explain"},
    {"html", "report"},   {"tokenize", "encode-tokens"}};

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

const FlagInfo* find(const WordPlace& place, std::string_view name) {
  const auto found = std::ranges::find(*place.flags, name, &FlagInfo::name);
  return found == place.flags->end() ? nullptr : &*found;
}

bool is_given(const WordPlace& place, std::string_view name) {
  return std::ranges::find(place.given, name) != place.given.end();
}

/// As it can be typed: in quotes where a shell would not take it for one word.
std::string typed(const std::string& word) {
  const bool is_plain = !word.empty() && std::ranges::all_of(word, [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("-_./:=,+@%").find(static_cast<char>(c)) != std::string_view::npos;
  });
  return io::printable(is_plain ? word : io::in_shell(word));
}

std::string dashed(std::string_view name) {
  return "--" + std::string(name);
}

/// "--width 992 --height 544" for "992x544", where the command has them; else nothing.
std::string as_size(const WordPlace& place, const std::string& word) {
  const auto cross = word.find_first_of("xX*");
  const auto is_number = [](std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c); });
  };
  if (cross == word.npos || find(place, "width") == nullptr) return {};
  const std::string width = word.substr(0, cross), height = word.substr(cross + 1);
  if (!is_number(width) || !is_number(height)) return {};
  return fmt::format("--width {} --height {}", width, height);
}

/// The flag that a word without one may belong to, as it would be typed; else nothing.
std::string likely_flag(const WordPlace& place, const std::string& word) {
  if (const std::string size = as_size(place, word); !size.empty()) return size;
  const auto first_free = [&](const std::vector<std::string>& names) {
    const auto name = std::ranges::find_if(
        names, [&](const auto& each) { return find(place, each) != nullptr && !is_given(place, each); });
    return name == names.end() ? std::string() : *name;
  };
  const std::string extension = io::extension_of(word);
  std::error_code unused;
  std::string name;
  if (extension == ".safetensors")
    name = first_free({"latents", "conditioning", "input", "output"});
  else if (extension == ".mp4" || extension == ".webm" || extension == ".y4m")
    name = first_free({"video", "output"});
  else if (std::filesystem::is_directory(word, unused))
    name = first_free({"model", "input"});
  if (name.empty()) name = first_free({"prompt"});
  if (name.empty()) name = first_free(place.required);
  return name.empty() ? name : dashed(name) + " " + typed(word);
}

}  // namespace

std::optional<std::string> nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  const auto distance = [&](const std::string& candidate) { return edit_distance(word, candidate); };
  const auto nearest = std::ranges::min_element(candidates, {}, distance);
  if (nearest == candidates.end() || distance(*nearest) > std::max<std::size_t>(2, word.size() / 2))
    return {};
  return *nearest;
}

std::string in_words(const std::vector<std::string>& list) {
  if (list.size() < 2) return list.empty() ? std::string() : list.front();
  return fmt::format("{} and {}", fmt::join(list.begin(), list.end() - 1, ", "), list.back());
}

std::string long_name_of(std::string_view short_flag) {
  const auto known = std::ranges::find(short_flags, short_flag, &Pair::first);
  return known == short_flags.end() ? std::string() : std::string(known->second);
}

std::string short_flag_of(std::string_view name) {
  const auto known = std::ranges::find(short_flags, name, &Pair::second);
  return known == short_flags.end() ? std::string() : std::string(known->first);
}

std::string unknown_flag_text(const WordPlace& place, const std::string& flag, const std::string& value) {
  const std::string text = fmt::format("unknown flag {} for {}; ", io::printable(flag), place.command);
  std::string name = io::lower_case(flag.substr(std::min(flag.find_first_not_of('-'), flag.size())));
  std::ranges::replace(name, '_', '-');
  if (find(place, name) != nullptr) return text + "did you mean " + dashed(name) + "?";
  if (const std::string size = as_size(place, value); !size.empty()) return text + "here it is " + size;
  constexpr std::string_view sizes[] = {"size", "resolution", "dimensions", "video-size"};
  if (std::ranges::find(sizes, name) != std::end(sizes) && find(place, "width") != nullptr)
    return text + "here it is --width and --height";
  if ((name == "cpu" || name == "cuda") && find(place, "device") != nullptr)
    return text + "here it is --device " + name;
  for (const auto& [other, ours] : other_flags)
    if (name == other && find(place, ours) != nullptr) return text + "here it is " + dashed(ours);
  std::vector<std::string> names;
  for (const FlagInfo& known : *place.flags) names.push_back(known.name);
  const auto nearest = nearest_word(name, names);
  if (!place.elsewhere.empty() && (!nearest || edit_distance(name, *nearest) > 1))
    return text +
           fmt::format("{} {} it", in_words(place.elsewhere), place.elsewhere.size() == 1 ? "has" : "have");
  return text + (nearest ? "did you mean " + dashed(*nearest) + "?"
                         : fmt::format("stepvideo {} --help all lists those that there are", place.command));
}

std::string stray_words_text(const WordPlace& place, const std::vector<std::string>& words) {
  const std::string& word = words.front();
  constexpr std::string_view other_dashes[] = {"\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212"};
  constexpr std::string_view bytes_of_dashes = "-\xe2\x80\x90\x91\x92\x93\x94\x88";
  for (const auto dash : other_dashes)
    if (word.starts_with(dash))
      return fmt::format(
          "{}: '{}' begins with a dash that is not '-', as web pages have it; --{} works", place.command,
          io::printable(word),
          io::printable(word.substr(std::min(word.size(), word.find_first_not_of(bytes_of_dashes)))));
  if (word == "--") return place.command + ": '--' stands where a flag should; every value follows a --flag";
  if (word.size() > 1 && word[0] == '-') {
    const std::string name = word.substr(1, word.find('=') - 1), meant = long_name_of(word.substr(0, 2));
    if (find(place, name) != nullptr)
      return fmt::format("{}: {} has one dash; --{} works", place.command, io::printable(word), name);
    if (meant.empty() || find(place, meant) == nullptr)
      return fmt::format("{}: {} is no flag here; stepvideo {} --help lists those that are", place.command,
                         io::printable(word.substr(0, word.find('='))), place.command);
    return fmt::format("{}: {} is read as no flag; {} {} works", place.command, io::printable(word),
                       word.substr(0, 2), typed(word.substr(2)));
  }
  const std::string text = fmt::format("{}: '{}' stands without its flag; ", place.command,
                                       io::printable(fmt::format("{}", fmt::join(words, " "))));
  const std::string name = word.substr(0, word.find('='));
  if (word == "help") return text + "did you mean --help?";
  if (find(place, name) != nullptr)
    return text + "did you mean --" + io::printable(word) + (words.size() > 1 ? " " + words[1] : "") + "?";
  const FlagInfo* const before = place.given.empty() ? nullptr : find(place, place.given.back());
  const std::string likely = likely_flag(place, word);
  if (before != nullptr && before->value.empty() && (likely.empty() || words.size() == 1))
    return text + fmt::format("--{} in front of it takes no value{}", before->name,
                              likely.empty() ? "" : fmt::format(", and {} would be read", likely));
  const bool takes_text = before != nullptr && (before->value == "TEXT" || before->value == "PATH");
  if (takes_text && !as_size(place, word).empty() && words.size() == 1)
    return text + likely + " would be read";
  if (takes_text)
    return text + fmt::format("if it belongs to --{0}, a shell wants quotes: --{0} {1}", before->name,
                              typed(fmt::format("{} {}", place.last_value, fmt::join(words, " "))));
  if (likely.empty()) return text + "every value follows a --flag";
  return text + (words.size() == 1 ? likely : likely_flag(place, fmt::format("{}", fmt::join(words, " ")))) +
         " would be read";
}

std::string missing_flags_text(const std::string& command, const std::vector<std::string>& names) {
  std::vector<std::string> flags;
  for (const auto& name : names) flags.push_back(dashed(name));
  return fmt::format("{} {} missing; {} needs {}", in_words(flags), flags.size() == 1 ? "is" : "are", command,
                     flags.size() == 1 ? "it" : "them");
}

std::string unknown_command_text(const std::string& word, const std::vector<std::string>& commands) {
  if (word.starts_with("-"))
    return fmt::format("{} stands where the command should, which comes first, as in stepvideo generate {}",
                       io::printable(word), io::printable(word));
  const std::string text = fmt::format("unknown command {}; ", io::printable(word));
  const std::string name = io::lower_case(word);
  for (const auto& [other, ours] : other_commands)
    if (name == other) return text + "here it is " + std::string(ours);
  const auto nearest = nearest_word(name, commands);
  return text + (nearest ? "did you mean " + *nearest + "?"
                         : fmt::format("there are {}", fmt::join(commands, ", ")));
}

}  // namespace stepvideo::commands
