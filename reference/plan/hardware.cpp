#include "plan/hardware.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <stepvideo/core/error.hpp>

#include "host_memory.hpp"
#include "io/extension.hpp"
#include "io/json.hpp"
#include "io/printable.hpp"
#include "plan/hardware_files.hpp"

namespace stepvideo::plan {
namespace {

using io::Json;

/// One data file, read field by field.
class DataReader {
 public:
  DataReader(std::string source, std::string_view text)
      : source_(std::move(source)), json_(io::parse_json(text, source_)) {
    require(json_.is_object(),
            [&] { return source_ + " is no JSON object; it needs one with named fields"; });
  }

  std::string text(const std::string& name) const {
    return io::printable(io::field<std::string>(json_, source_, name));
  }

  bool has(std::string_view name) const { return find(name) != nullptr; }
  bool says_host(std::string_view name) const {
    const Json* const value = find(name);
    return value != nullptr && *value == "host";
  }

  /// The value of a field that is {"value": number, "source": text}; dots lead into objects.
  double number(std::string_view name, double largest) const {
    const Json* const entry = find(name);
    require(entry != nullptr, [&] {
      return fmt::format(
          R"({} has no field "{}"; it needs {{"value": a number, "source": where it is from}})", source_,
          name);
    });
    const Json* const value = entry->is_object() && entry->contains("value") ? &entry->at("value") : nullptr;
    const bool is_sourced =
        entry->is_object() && entry->contains("source") && entry->at("source").is_string();
    require(value != nullptr && value->is_number() && is_sourced, [&] {
      return fmt::format(
          R"({}: field "{}" is {}; it must be {{"value": a number, "source": where it is from}})", source_,
          name, io::excerpt(*entry));
    });
    const double number = value->get<double>();
    require(number >= smallest && number <= largest, [&] {
      return fmt::format(R"({}: field "{}" is {}; {:g} to {:g} works)", source_, name, io::excerpt(*value),
                         smallest, largest);
    });
    return number;
  }

  static constexpr double largest_rate = 1e21;  ///< bytes or operations a second, or bytes
  static constexpr double smallest = 1e-12;     ///< of all: a quotient of two stays finite

 private:
  const Json* find(std::string_view name) const {
    const Json* at = &json_;
    for (std::string_view rest = name; at != nullptr;) {
      const auto dot = rest.find('.');
      const std::string part(rest.substr(0, dot));
      at = at->is_object() && at->contains(part) && !at->at(part).is_null() ? &at->at(part) : nullptr;
      if (dot == rest.npos) break;
      rest = rest.substr(dot + 1);
    }
    return at;
  }

  std::string source_;
  Json json_;
};

std::vector<std::string> names_of(const std::vector<DataFile>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.emplace_back(file.name);
  return names;
}

DataReader open(const char* flag, const char* kind, const std::vector<DataFile>& files,
                const std::string& name_or_file) {
  const std::string name = io::lower_case(name_or_file);
  const auto known = std::ranges::find(files, name, [](const DataFile& file) { return file.name; });
  if (known != files.end()) return {fmt::format("the built-in {}.json", known->name), known->text};
  std::error_code unused;
  require(std::filesystem::is_regular_file(name_or_file, unused), [&] {
    return fmt::format("{}: {} is neither a known {} nor a file; {} or the path of a JSON file works", flag,
                       io::in_quotes(name_or_file), kind, fmt::join(names_of(files), ", "));
  });
  constexpr std::uintmax_t largest_bytes = 1 << 20;
  require(std::filesystem::file_size(name_or_file, unused) <= largest_bytes, [&] {
    return fmt::format("{}: {} is larger than 1 MiB; a JSON file of a few lines works", flag,
                       io::in_quotes(name_or_file));
  });
  std::ifstream file(name_or_file, std::ios::binary);
  require(file.is_open(), [&] { return io::in_quotes(name_or_file) + " cannot be opened for reading"; });
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  require(!file.bad(), [&] { return io::in_quotes(name_or_file) + " cannot be read to its end"; });
  return {io::printable(name_or_file), text};
}

std::optional<Rates> read_rates(const DataReader& from, Arithmetic arithmetic) {
  const std::string precision = to_string(arithmetic);
  if (!from.has("peak_flops." + precision)) return {};
  const double peak = from.number("peak_flops." + precision, DataReader::largest_rate);
  const auto attained = [&](const char* work) {
    return peak * from.number(fmt::format("efficiency.{}.{}", precision, work), 1);
  };
  return Rates{peak, attained("linear"), attained("attention"), attained("convolution")};
}

}  // namespace

const char* to_string(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::fp32:
      return "fp32";
    case Arithmetic::bf16:
      return "bf16";
    case Arithmetic::fp8:
      return "fp8";
  }
  return "";
}

Arithmetic parse_arithmetic(const std::string& text) {
  for (const Arithmetic arithmetic : all_arithmetics)
    if (text == to_string(arithmetic)) return arithmetic;
  throw RequestError(
      fmt::format("--precision: {} is not a precision; fp32, bf16 and fp8 are", io::in_quotes(text)));
}

const Rates& Hardware::at(Arithmetic arithmetic) const {
  const auto& found = rates[static_cast<std::size_t>(arithmetic)];
  require(found.has_value(), [&] {
    std::vector<std::string> there;
    for (const Arithmetic other : all_arithmetics)
      if (rates[static_cast<std::size_t>(other)]) there.emplace_back(to_string(other));
    return fmt::format(
        "--precision {}: {} has no field \"peak_flops.{}\" and so no such arithmetic; {} works",
        to_string(arithmetic), name, to_string(arithmetic), fmt::join(there, " or "));
  });
  return *found;
}

Hardware load_hardware(const std::string& name_or_file) {
  const DataReader from = open("--gpu", "GPU", hardware_files(), name_or_file);
  constexpr double most = DataReader::largest_rate;
  Hardware hardware{.name = from.text("name"),
                    .description = from.text("description"),
                    .is_host = from.says_host("memory_bytes"),
                    .reserved_bytes = from.number("reserved_bytes", most),
                    .memory_bytes_per_second =
                        from.number("memory_bytes_per_second", most) * from.number("memory_efficiency", 1),
                    .link = from.text("link"),
                    .host_bytes_per_second = from.number("host_bytes_per_second", most)};
  hardware.memory_bytes = hardware.is_host ? static_cast<double>(read_host_memory().total_bytes)
                                           : from.number("memory_bytes", most);
  bool has_rates = false;
  for (const Arithmetic arithmetic : all_arithmetics) {
    hardware.rates[static_cast<std::size_t>(arithmetic)] = read_rates(from, arithmetic);
    has_rates = has_rates || hardware.rates[static_cast<std::size_t>(arithmetic)];
  }
  // Asks for the field, so that the sentence is the same.
  if (!has_rates) from.number("peak_flops.bf16", most);
  return hardware;
}

Link load_link(const std::string& name_or_file) {
  const DataReader from = open("--link", "link", link_files(), name_or_file);
  constexpr double most = DataReader::largest_rate;
  constexpr int largest_host = 1 << 16;
  return {.name = from.text("name"),
          .description = from.text("description"),
          .all_to_all_bytes_per_second = from.number("all_to_all_bytes_per_second", most),
          .all_reduce_bytes_per_second = from.number("all_reduce_bytes_per_second", most),
          .send_bytes_per_second = from.number("send_bytes_per_second", most),
          .network_bytes_per_second = from.number("network_bytes_per_second", most),
          .latency_seconds = from.number("latency_seconds", 1),
          .ranks_per_host = std::max(1, static_cast<int>(from.number("ranks_per_host", largest_host))),
          .buffer_bytes = from.number("buffer_bytes", most)};
}

std::vector<std::string> hardware_names() {
  return names_of(hardware_files());
}

std::vector<std::string> link_names() {
  return names_of(link_files());
}

}  // namespace stepvideo::plan
