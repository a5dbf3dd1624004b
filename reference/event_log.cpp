#include "event_log.hpp"

#include <fstream>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/sinks/basic_file_sink.h>

#include <stepvideo/core/error.hpp>

#include "io/pending_file.hpp"

namespace stepvideo {

std::filesystem::path log_file_of(const std::filesystem::path& given, int rank) {
  if (rank == 0) return given;
  auto name = given.stem();
  name += fmt::format(".rank{}", rank);
  name += given.extension();
  return given.parent_path() / name;
}

EventLog::EventLog(const std::filesystem::path& path, int rank, Clock::time_point start)
    : rank_(rank), start_(start) {
  std::error_code unused;
  const auto folder = io::folder_of(path);
  require(std::filesystem::is_directory(folder, unused), [&] {
    return fmt::format("--log-file: the folder {} does not exist; create it first", folder.string());
  });
  // A log replaces an older log and nothing else: a slip of the keyboard must not cost a checkpoint.
  const char first = static_cast<char>(std::ifstream(path, std::ios::binary).get());
  require(
      !std::filesystem::exists(path, unused) || std::filesystem::is_character_file(path, unused) ||
          std::filesystem::is_fifo(path, unused) || std::filesystem::is_empty(path, unused) || first == '{',
      [&] {
        return fmt::format("--log-file: {} is there and is no event log; name another file", path.string());
      });
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string(), true);
    logger_ = std::make_shared<spdlog::logger>("events", std::move(sink));
  } catch (const spdlog::spdlog_ex&) {
    throw RequestError(
        fmt::format("--log-file: {} cannot be written; give the path of a file", path.string()));
  }
  logger_->set_pattern("%v");
  logger_->flush_on(spdlog::level::info);
  const auto wall = std::chrono::system_clock::now() -
                    std::chrono::duration_cast<std::chrono::system_clock::duration>(Clock::now() - start_);
  facts_["start"] = std::chrono::duration<double>(wall.time_since_epoch()).count();
}

void EventLog::describe(RunFacts facts) {
  facts_.merge(facts);
}

void EventLog::write(const Event& event) {
  if (logger_ == nullptr) return;
  nlohmann::ordered_json line;
  line["time"] = std::chrono::duration<double>(event.at.value_or(Clock::now()) - start_).count();
  line["rank"] = rank_;
  line["stage"] = event.stage;
  line["event"] = event_kind_names[static_cast<std::size_t>(event.kind)];
  const auto add = [&](const char* name, const auto& value) {
    if (value.has_value()) line[name] = *value;
  };
  add("step", event.step);
  add("layer", event.layer);
  add("op", event.op);
  add("group", event.group);
  add("seconds", event.seconds);
  add("exposed_seconds", event.exposed_seconds);
  add("predicted_seconds", event.predicted_seconds);
  add("cpu_seconds", event.cpu_seconds);
  add("involuntary_switches", event.involuntary_switches);
  add("bytes", event.bytes);
  add("peak_bytes", event.peak_bytes);
  add("message", event.message);
  if (!facts_.empty())
    for (const auto& [name, value] : std::exchange(facts_, {}))
      std::visit([&](const auto& fact) { line["run"][name] = fact; }, value);
  logger_->info("{}", line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace stepvideo
