#include "trace/log.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>

#include <fmt/format.h>

#include "io/json.hpp"
#include "io/printable.hpp"

namespace stepvideo::trace {
namespace {

/// A log that says more is damaged.
constexpr double largest_ranks = 1 << 16;

namespace fs = std::filesystem;
using io::Json;
using io::printable;

std::optional<Event::Kind> kind_of(const std::string& name) {
  const auto at = std::ranges::find(event_kind_names, name);
  if (at == event_kind_names.end()) return {};
  return static_cast<Event::Kind>(at - event_kind_names.begin());
}

/// Of seconds and of facts: sums and differences of such numbers stay finite.
constexpr double largest_number = 1e18;

template <class T>
std::optional<T> optional_field(const Json& line, const fs::path& place, const char* name) {
  if (!line.contains(name) || line.at(name).is_null()) return {};
  T value = io::field<T>(line, place, name);
  if constexpr (std::is_floating_point_v<T>)
    require(value >= 0 && value <= largest_number, [&] {
      return fmt::format("{}: field \"{}\" is {}; 0 to {:g} works", place.string(), name, value,
                         largest_number);
    });
  return value;
}

double required_seconds(const Json& line, const fs::path& place, const char* name) {
  const auto value = optional_field<double>(line, place, name);
  return value ? *value : io::field<double>(line, place, name);
}

LoggedEvent event_of(const Json& line, const fs::path& place, Event::Kind kind) {
  LoggedEvent event;
  event.kind = kind;
  event.time = required_seconds(line, place, "time");
  event.stage = printable(io::field<std::string>(line, place, "stage"));
  const auto read = [&]<class T>(const char* name, std::optional<T>& value) {
    value = optional_field<T>(line, place, name);
    if constexpr (std::same_as<T, std::string>)
      if (value) value = printable(*value);
  };
  read("step", event.step);
  read("layer", event.layer);
  read("op", event.op);
  read("group", event.group);
  read("seconds", event.seconds);
  read("exposed_seconds", event.exposed_seconds);
  read("predicted_seconds", event.predicted_seconds);
  read("cpu_seconds", event.cpu_seconds);
  read("involuntary_switches", event.involuntary_switches);
  read("bytes", event.bytes);
  read("peak_bytes", event.peak_bytes);
  read("message", event.message);
  return event;
}

/// One file, line by line, into the ranks that it speaks of.
class Reader {
 public:
  explicit Reader(fs::path path) : path_(std::move(path)) {}

  std::vector<RankLog> read() {
    std::error_code unused;
    require(!fs::is_character_file(path_, unused) && !fs::is_block_file(path_, unused),
            [&] { return path_.string() + " is a device; an event log is a file"; });
    std::ifstream file(path_, std::ios::binary);
    require(file.is_open(), [&] { return path_.string() + " cannot be opened for reading"; });
    for (std::string line; std::getline(file, line);) {
      ++number_;
      const bool is_last = file.eof();  // no newline stands behind it
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) read_line(line, is_last);
    }
    require(!file.bad(), [&] { return path_.string() + " cannot be read to its end"; });
    require(!logs_.empty(), [&] {
      return path_.string() + " holds no whole event; --log-file of a run writes one JSON object a line";
    });
    std::vector<RankLog> logs;
    for (auto& [rank, log] : logs_) {
      // Threads may share a log: a line can stand before one that is a moment older.
      std::ranges::stable_sort(log.events, {}, &LoggedEvent::time);
      log.is_cut = is_cut_;
      logs.push_back(std::move(log));
    }
    return logs;
  }

 private:
  void read_line(const std::string& text, bool is_last) {
    const fs::path place = fmt::format("{} line {}", path_.string(), number_);
    Json line;
    try {
      line = io::parse_json(text, place.string());
    } catch (const RequestError& error) {
      if (is_last) {
        is_cut_ = true;
        return;
      }
      throw RequestError(fmt::format("{}; an event log holds one JSON object a line", error.what()));
    }
    require(line.is_object(),
            [&] { return place.string() + " is no JSON object; an event log holds one JSON object a line"; });
    const int rank = io::field<int>(line, place, "rank");
    require(rank >= 0,
            [&] { return fmt::format("{}: rank is {}; ranks count from 0", place.string(), rank); });
    const auto kind = kind_of(io::field<std::string>(line, place, "event"));
    RankLog& log = logs_.try_emplace(rank, RankLog{.rank = rank, .file = path_}).first->second;
    if (!kind) {
      ++log.unknown_events;
      return;
    }
    log.events.push_back(event_of(line, place, *kind));
    read_facts(line, log);
  }

  static void read_facts(const Json& line, RankLog& log) {
    if (!line.contains("run") || !line.at("run").is_object()) return;
    for (const auto& [name, value] : line.at("run").items())
      if (value.is_primitive() && !value.is_null())
        log.facts[printable(name)] = printable(value.is_string() ? value.get<std::string>() : value.dump());
  }

  fs::path path_;
  std::size_t number_ = 0;
  bool is_cut_ = false;
  std::map<int, RankLog> logs_;
};

std::vector<fs::path> files_of(const fs::path& path) {
  std::error_code unused;
  require(fs::exists(path, unused),
          [&] { return path.string() + " is not there; an event log of --log-file was looked for"; });
  if (!fs::is_directory(path, unused)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path, unused))
    if (entry.path().extension() == ".ndjson") files.push_back(entry.path());
  require(!files.empty(), [&] { return path.string() + " holds no .ndjson file; name the event logs"; });
  std::ranges::sort(files);
  return files;
}

}  // namespace

double RankLog::fact(const std::string& name, double fallback) const {
  const auto at = facts.find(name);
  if (at == facts.end()) return fallback;
  const std::string& text = at->second;
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc{} && end == text.data() + text.size();
  return is_number && std::abs(value) <= largest_number ? value : fallback;
}

Run read_run(const std::vector<fs::path>& paths) {
  std::map<int, RankLog> ranks;
  const auto read = [&](const fs::path& file) {
    for (RankLog& log : Reader(file).read()) {
      const auto there = ranks.find(log.rank);
      require(there == ranks.end(), [&] {
        return fmt::format(
            "{} and {} both hold rank {}; several files are the ranks of one run, --compare takes two runs",
            there->second.file.string(), file.string(), log.rank);
      });
      ranks.emplace(log.rank, std::move(log));
    }
  };
  for (const auto& path : paths)
    for (const auto& file : files_of(path)) read(file);
  // Rank 0's file alone stands for the run: the others' lie beside it.
  if (paths.size() == 1 && ranks.size() == 1 && ranks.contains(0)) {
    const fs::path file = ranks.at(0).file;
    const double count = std::min(ranks.at(0).fact("ranks", 1), largest_ranks);
    std::error_code unused;
    for (int rank = 1; rank < count; ++rank)
      if (const fs::path beside = log_file_of(file, rank); fs::exists(beside, unused)) read(beside);
  }
  Run run;
  for (auto& [rank, log] : ranks)
    if (!log.events.empty()) run.push_back(std::move(log));
  require(!run.empty(), [&] {
    return paths.front().string() + " holds no event of a known kind; a newer program may have written it";
  });
  return run;
}

}  // namespace stepvideo::trace
