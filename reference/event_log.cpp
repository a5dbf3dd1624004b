#include "event_log.hpp"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"
#include "io/pending_file.hpp"

namespace stepvideo {
namespace {

namespace fs = std::filesystem;

/// Writes lines to a file, and to a pipe or a terminal without ever waiting long: a reader that does not read
/// loses events and does not stop the run.
class EventSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// Owns the descriptor.
  EventSink(int file, fs::path path) : file_(file), path_(std::move(path)) {}
  ~EventSink() override { close(file_); }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    if (has_failed_ || !flush_rest()) return;
    rest_.assign(message.payload.data(), message.payload.size());
    rest_ += '\n';
    flush_rest();
  }
  void flush_() override {}

  /// Whether all of what was begun is written.
  bool flush_rest() {
    constexpr int patience_milliseconds = 1000;
    while (!rest_.empty()) {
      const auto size = ::write(file_, rest_.data(), rest_.size());
      if (size >= 0) {
        rest_.erase(0, static_cast<std::size_t>(size));
      } else if (errno == EAGAIN) {
        pollfd wait{file_, POLLOUT, 0};
        if (!is_patient_ || poll(&wait, 1, patience_milliseconds) <= 0) return is_patient_ = false;
      } else if (errno != EINTR) {
        has_failed_ = true;
        fmt::print(stderr, "warning: --log-file: no more events are written to {}: {}\n", path_.string(),
                   std::strerror(errno));
        return false;
      }
    }
    return is_patient_ = true;
  }

  int file_;
  fs::path path_;
  std::string rest_;  ///< of a line
  bool is_patient_ = true, has_failed_ = false;
};

/// Opens the log. Waits for the reader of a pipe that has a name; throws Interrupted where a signal comes
/// before.
int open_log(const fs::path& path) {
  std::error_code unused;
  const bool is_file = !fs::exists(path, unused) || fs::is_regular_file(path, unused);
  const bool is_pipe = fs::is_fifo(path, unused);
  const int flags = O_WRONLY | O_CLOEXEC | (is_file ? O_CREAT | O_TRUNC : O_NONBLOCK);
  for (bool is_told = false; true;) {
    const int file = open(path.c_str(), flags, 0666);
    if (file >= 0) return file;
    require(is_pipe && errno == ENXIO, [&] {
      return fmt::format("--log-file: {} cannot be written: {}; give the path of a file", path.string(),
                         std::strerror(errno));
    });
    if (!std::exchange(is_told, true))
      fmt::print(stderr, "--log-file: {} has no reader; waiting for one\n", path.string());
    throw_if_interrupted("while waiting for a reader of --log-file");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

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
  require(!std::filesystem::is_regular_file(path, unused) || std::filesystem::is_empty(path, unused) ||
              std::ifstream(path, std::ios::binary).get() == '{',
          [&] {
            return fmt::format("--log-file: {} is there and is no event log; name another file",
                               path.string());
          });
  logger_ = std::make_shared<spdlog::logger>("events", std::make_shared<EventSink>(open_log(path), path));
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
