#include "doctor/machine_facts.hpp"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace stepvideo::doctor {
namespace {

using io::Json;

constexpr int format_version = 1;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;

class Writer {
 public:
  template <class T>
  void operator()(const char* name, const T& value) {
    if constexpr (is_optional<T>)
      json_[name] = value ? Json(*value) : Json(nullptr);
    else
      json_[name] = value;
  }
  Json take() { return std::move(json_); }

 private:
  Json json_ = Json::object();
};

class Reader {
 public:
  Reader(const Json& json, const std::filesystem::path& path) : json_(json), path_(path) {}
  template <class T>
  void operator()(const char* name, T& value) const {
    if constexpr (!is_optional<T>)
      value = io::field<T>(json_, path_, name);
    else if (json_.is_object() && json_.contains(name) && !json_.at(name).is_null())
      value = io::field<typename T::value_type>(json_, path_, name);
  }

 private:
  const Json& json_;
  const std::filesystem::path& path_;
};

/// Calls `each(name, field)` for every field: the one list for reading and writing. `Facts` is const to
/// write.
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, BuildFacts>
void fields(Each& each, Facts& facts) {
  each("version", facts.version);
  each("cuda", facts.cuda);
  each("video", facts.video);
  each("text", facts.text);
  each("model_on_gpu", facts.model_on_gpu);
  each("cpu_features", facts.cpu_features);
}
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, HostFacts>
void fields(Each& each, Facts& facts) {
  each("system", facts.system);
  each("processor", facts.processor);
  each("cores", facts.cores);
  each("cpu_features", facts.cpu_features);
  each("memory_bytes", facts.memory_bytes);
  each("available_bytes", facts.available_bytes);
  each("shm_bytes", facts.shm_bytes);
  each("shm_free_bytes", facts.shm_free_bytes);
  each("locked_memory_bytes", facts.locked_memory_bytes);
  each("open_files", facts.open_files);
  each("most_open_files", facts.most_open_files);
  each("output_folder", facts.output_folder);
  each("output_free_bytes", facts.output_free_bytes);
  each("output_writable", facts.output_writable);
  each("network_interfaces", facts.network_interfaces);
}
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, DriverFacts>
void fields(Each& each, Facts& facts) {
  each("version", facts.version);
  each("cuda", facts.cuda);
  each("init_error", facts.init_error);
  each("problems", facts.problems);
}
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, LibraryFacts>
void fields(Each& each, Facts& facts) {
  each("name", facts.name);
  each("path", facts.path);
  each("version", facts.version);
  each("problem", facts.problem);
}
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, GpuFacts>
void fields(Each& each, Facts& facts) {
  each("name", facts.name);
  each("bus_id", facts.bus_id);
  each("compute_capability", facts.compute_capability);
  each("is_visible", facts.is_visible);
  each("memory_bytes", facts.memory_bytes);
  each("free_bytes", facts.free_bytes);
  each("clock_mhz", facts.clock_mhz);
  each("most_clock_mhz", facts.most_clock_mhz);
  each("temperature", facts.temperature);
  each("throttled_by", facts.throttled_by);
  each("has_ecc", facts.has_ecc);
  each("has_mig", facts.has_mig);
  each("is_persistent", facts.is_persistent);
  each("needs_row_remap", facts.needs_row_remap);
  each("failed_row_remap", facts.failed_row_remap);
  each("uncorrected_errors", facts.uncorrected_errors);
  each("compute_mode", facts.compute_mode);
  each("nvlinks", facts.nvlinks);
  each("pcie_generation", facts.pcie_generation);
  each("pcie_width", facts.pcie_width);
  each("most_pcie_width", facts.most_pcie_width);
}
template <class Each, class Facts>
requires std::same_as<std::remove_const_t<Facts>, LinkFacts>
void fields(Each& each, Facts& facts) {
  each("from", facts.from);
  each("to", facts.to);
  each("kind", facts.kind);
  each("peer_access", facts.peer_access);
}

template <class Facts>
Json write(const Facts& facts) {
  Writer writer;
  fields(writer, facts);
  return writer.take();
}
template <class Facts>
Json write(const std::vector<Facts>& list) {
  Json json = Json::array();
  for (const auto& facts : list) json.push_back(write(facts));
  return json;
}

template <class Facts>
Facts read(const Json& json, const std::filesystem::path& path) {
  Facts facts;
  Reader reader(json, path);
  fields(reader, facts);
  return facts;
}
template <class Facts>
std::vector<Facts> read_list(const Json& json, const std::filesystem::path& path, const char* name) {
  require(json.is_object() && json.contains(name) && json.at(name).is_array(),
          [&] { return fmt::format("{} has no list \"{}\"; it needs one", path.string(), name); });
  std::vector<Facts> list;
  for (std::size_t i = 0; i < json.at(name).size(); ++i)
    list.push_back(read<Facts>(json.at(name)[i], fmt::format("{}: {}[{}]", path.string(), name, i)));
  return list;
}

}  // namespace

const LibraryFacts* MachineFacts::library(const std::string& name) const {
  for (const auto& library : libraries)
    if (library.name == name) return &library;
  return nullptr;
}

Json to_json(const MachineFacts& facts) {
  return {{"format", format_version},      {"build", write(facts.build)},         {"host", write(facts.host)},
          {"driver", write(facts.driver)}, {"libraries", write(facts.libraries)}, {"gpus", write(facts.gpus)},
          {"links", write(facts.links)},   {"environment", facts.environment}};
}

MachineFacts machine_facts(const Json& json, const std::filesystem::path& path) {
  const int format = io::field<int>(json, path, "format");
  require(format == format_version, [&] {
    return fmt::format("{}: field \"format\" is {}; this version reads {}", path.string(), format,
                       format_version);
  });
  const auto part = [&](const char* name) { return io::field<Json>(json, path, name); };
  const auto within = [&](const char* name) { return std::filesystem::path(path.string() + ": " + name); };
  MachineFacts facts{.build = read<BuildFacts>(part("build"), within("build")),
                     .host = read<HostFacts>(part("host"), within("host")),
                     .driver = read<DriverFacts>(part("driver"), within("driver")),
                     .libraries = read_list<LibraryFacts>(json, path, "libraries"),
                     .gpus = read_list<GpuFacts>(json, path, "gpus"),
                     .links = read_list<LinkFacts>(json, path, "links"),
                     .environment = {}};
  const int gpus = static_cast<int>(facts.gpus.size());
  for (const auto& link : facts.links)
    require(link.from >= 0 && link.to >= 0 && link.from < gpus && link.to < gpus, [&] {
      return fmt::format("{}: a link joins GPUs {} and {}; {} are listed, counted from 0", path.string(),
                         link.from, link.to, gpus);
    });
  require(facts.host.cores > 0, [&] {
    return fmt::format("{}: host: field \"cores\" is {}; it must be at least 1", path.string(),
                       facts.host.cores);
  });
  const Json environment = part("environment");
  for (const auto& item : environment.items()) {
    const std::string& name = item.key();
    // A name becomes part of a command that users may paste.
    require(std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '_'; }), [&] {
      return within("environment").string() + ": " + io::in_quotes(name) +
             " is not a variable's name; letters, digits and '_' work";
    });
    facts.environment[name] = io::field<std::string>(environment, within("environment"), name);
  }
  return facts;
}

MachineFacts read_machine_facts(const std::filesystem::path& path) {
  return machine_facts(io::read_json(path), path);
}

}  // namespace stepvideo::doctor
