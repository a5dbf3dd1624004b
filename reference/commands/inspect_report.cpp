#include "commands/inspect_report.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/model_digest.hpp"
#include "io/printable.hpp"
#include "io/stored_tensors.hpp"
#include "io/video.hpp"
#include "io/weight_names.hpp"
#include "plan/text.hpp"
#include "trace/units.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

using io::Json, io::printable, trace::bytes_text;

Json totals_of(const io::StoredTensors& stored) {
  std::map<std::string, std::int64_t> by_dtype;
  std::int64_t elements = 0;
  std::uint64_t bytes = 0;
  for (const auto& [name, tensor] : stored.tensors()) {
    const std::int64_t count = io::element_count(tensor.shape);
    by_dtype[std::string(io::dtype_name(tensor.dtype))] += count;
    elements += count;
    bytes += tensor.size_bytes();
  }
  return {
      {"tensors", stored.tensors().size()}, {"elements", elements}, {"bytes", bytes}, {"dtypes", by_dtype}};
}

Json names_of(const std::vector<fs::path>& files) {
  Json names = Json::array();
  for (const auto& file : files) names.push_back(file.filename().string());
  return names;
}

void put_tensors(Json& report, const fs::path& path) {
  const auto stored = io::StoredTensors::open(path);
  report["files"] = names_of(stored.files());
  report["tensors"] = Json::array();
  for (const auto& [name, tensor] : stored.tensors())
    report["tensors"].push_back({{"name", name},
                                 {"dtype", io::dtype_name(tensor.dtype)},
                                 {"shape", tensor.shape},
                                 {"bytes", tensor.size_bytes()}});
  report["totals"] = totals_of(stored);
  for (const auto& [name, text] : stored.metadata()) {
    const auto manifest = name == "manifest" ? io::parse_manifest(text) : std::nullopt;
    if (manifest)
      report["manifest"] = *manifest;
    else
      report["metadata"][name] = text;
  }
}

/// The components of a model's folder; of those that are not there, nothing.
Json components_of(const fs::path& model) {
  constexpr std::array all{io::Component::transformer,        io::Component::step_llm,
                           io::Component::clip_text_encoder,  io::Component::vae,
                           io::Component::step_llm_tokenizer, io::Component::clip_tokenizer};
  Json components = Json::array();
  for (const io::Component component : all) {
    fs::path path;
    try {
      path = io::find_component(model, component);
    } catch (const RequestError&) {
      continue;
    }
    Json entry{{"name", io::component_name(component)},
               {"path", path.lexically_relative(model).string()},
               {"digest", io::component_digest(model, component)}};
    if (component == io::Component::step_llm_tokenizer || component == io::Component::clip_tokenizer) {
      entry["bytes"] = fs::file_size(path);
    } else {
      const auto stored = io::StoredTensors::open(path);
      entry["files"] = names_of(stored.files());
      entry["totals"] = totals_of(stored);
    }
    components.push_back(std::move(entry));
  }
  return components;
}

bool holds_tensors(const fs::path& file) {
  return io::extension_of(file) == ".safetensors" || io::has_torch_name(file) ||
         io::is_index_name(file.filename().string());
}

std::string totals_text(const Json& totals) {
  std::string dtypes;
  for (const auto& [dtype, elements] : totals["dtypes"].items())
    dtypes += fmt::format("{}{}", dtypes.empty() ? "" : ", ", dtype);
  return fmt::format("{} tensors, {} elements, {} in {}", totals["tensors"].get<std::uint64_t>(),
                     plan::grouped(totals["elements"].get<std::int64_t>()),
                     bytes_text(totals["bytes"].get<double>()), dtypes.empty() ? "no dtype" : dtypes);
}

std::string scalar_text(const Json& value) {
  return printable(value.is_string() ? value.get<std::string>() : io::manifest_text(value));
}

void put_line(std::string& text, int indent, const std::string& name, const std::string& value) {
  constexpr int column = 26;
  text += fmt::format("{:{}}{:<{}} {}", "", indent, printable(name), std::max(column - indent, 0), value);
  text.erase(text.find_last_not_of(' ') + 1);
  text += '\n';
}

/// What a stage took, where the object is that.
std::optional<std::string> cost_text(const Json& object) {
  const auto number = [&](const char* name) { return object.contains(name) && object[name].is_number(); };
  if (object.size() != 2 || !number("seconds") || !number("peak_bytes")) return {};
  if (!object["peak_bytes"].is_number_unsigned()) return {};
  return fmt::format("{:.3f} s, {}", object["seconds"].get<double>(),
                     bytes_text(object["peak_bytes"].get<double>()));
}

/// Name and value a line, the request first; what lies deeper is indented.
void put_fields(std::string& text, const Json& object, int indent) {
  constexpr std::array first{"stepvideo", "command",    "prompt",    "prompt_suffix", "negative",
                             "seed",      "frames",     "height",    "width",         "steps",
                             "cfg_scale", "time_shift", "precision", "device"};
  const auto put = [&](const std::string& name, const Json& value) {
    if (!value.is_object()) return put_line(text, indent, name, scalar_text(value));
    if (const auto cost = cost_text(value)) return put_line(text, indent, name, *cost);
    put_line(text, indent, name, "");
    put_fields(text, value, indent + 2);
  };
  for (const char* const name : first)
    if (object.contains(name)) put(name, object[name]);
  for (const auto& [name, value] : object.items())
    if (std::ranges::find(first, name) == first.end()) put(name, value);
}

std::string joined(const Json& names) {
  std::vector<std::string> words;
  for (const auto& name : names) words.push_back(printable(name.get<std::string>()));
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

Json inspect_path(const fs::path& path) {
  std::error_code unused;
  require(fs::exists(path, unused),
          [&] { return path.string() + " is not there; a file or folder that is works"; });
  Json report{{"path", path.string()}};
  if (fs::is_directory(path, unused)) {
    if (const auto manifest = io::read_manifest(path)) {
      report["manifest"] = *manifest;
      return report;
    }
    if (fs::exists(path / "model_index.json", unused) || fs::is_directory(path / "transformer", unused)) {
      report["components"] = components_of(path);
      require(!report["components"].empty(), [&] {
        return path.string() + " holds no component of a model; name the folder of a checkpoint, or a file";
      });
      return report;
    }
  }
  if (fs::is_directory(path, unused) || holds_tensors(path)) {
    put_tensors(report, path);
    return report;
  }
  const auto manifest = io::read_manifest(path);
  require(manifest.has_value(), [&] {
    return path.string() + " is a video without a manifest; those that this program wrote carry one";
  });
  report["manifest"] = *manifest;
  return report;
}

std::string to_text(const Json& report) {
  std::string text = printable(report["path"].get<std::string>()) + '\n';
  if (report.contains("manifest")) put_fields(text, report["manifest"], 0);
  if (report.contains("metadata")) {
    text += "metadata\n";
    put_fields(text, report["metadata"], 2);
  }
  if (report.contains("components")) {
    std::uint64_t bytes = 0;
    std::int64_t elements = 0;
    for (const Json& component : report["components"]) {
      const bool is_file = component.contains("bytes");
      text += fmt::format(
          "{:<18} {}  {}, {}\n", component["name"].get<std::string>(), component["digest"].get<std::string>(),
          printable(component["path"].get<std::string>()),
          is_file ? bytes_text(component["bytes"].get<double>()) : totals_text(component["totals"]));
      if (is_file) continue;
      bytes += component["totals"]["bytes"].get<std::uint64_t>();
      elements += component["totals"]["elements"].get<std::int64_t>();
    }
    text += fmt::format("in all {} elements, {}\n", plan::grouped(elements),
                        bytes_text(static_cast<double>(bytes)));
  }
  if (report.contains("tensors")) {
    std::size_t name_width = 4, shape_width = 5;
    for (const Json& tensor : report["tensors"]) {
      name_width = std::max(name_width, printable(tensor["name"].get<std::string>()).size());
      shape_width = std::max(shape_width, io::to_string(tensor["shape"].get<io::Shape>()).size());
    }
    for (const Json& tensor : report["tensors"])
      text += fmt::format("{:<{}}  {:<7}  {:<{}}  {:>10}\n", printable(tensor["name"].get<std::string>()),
                          name_width, tensor["dtype"].get<std::string>(),
                          io::to_string(tensor["shape"].get<io::Shape>()), shape_width,
                          bytes_text(tensor["bytes"].get<double>()));
    text += fmt::format("{} in {}\n", totals_text(report["totals"]), joined(report["files"]));
  }
  return text;
}

}  // namespace stepvideo::commands
