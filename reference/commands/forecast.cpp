#include "commands/forecast.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <sstream>
#include <system_error>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "io/model_folder.hpp"
#include "io/printable.hpp"
#include "io/video.hpp"
#include "plan/text.hpp"
#include "trace/units.hpp"

namespace stepvideo::commands {
namespace {

namespace fs = std::filesystem;

constexpr double hour = 3600;

bool somebody_sits_here() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

/// The first of these that PATH names.
std::string player_here() {
  const char* const path = std::getenv("PATH");
  for (const char* const player : {"mpv", "vlc", "ffplay", "xdg-open"}) {
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');)
      if (access((folder + "/" + player).c_str(), X_OK) == 0) return player;
  }
  return "";
}

double file_bytes(const fs::path& path) {
  std::error_code unused;
  if (!fs::is_directory(path, unused)) return static_cast<double>(fs::file_size(path, unused));
  double sum = 0;
  for (const auto& file : fs::directory_iterator(path, unused))
    sum += static_cast<double>(file.file_size(unused));
  return sum;
}

}  // namespace

void Forecast::add(const plan::Cost& cost, int steps_done) {
  seconds += cost.total_seconds - steps_done * cost.step_seconds * cost.denoise_factor;
  peak_bytes = std::max(peak_bytes, cost.peak_bytes());
}

std::string forecast_text(const Forecast& forecast, const std::string& place, std::int64_t now) {
  std::string text =
      fmt::format("{} on {}: about {} by the plan", forecast.what, place, plan::duration(forecast.seconds));
  constexpr double minute = 60, longest = 365 * 24 * hour;
  if (forecast.seconds >= minute && forecast.seconds < longest) {
    const std::time_t end = now + static_cast<std::time_t>(forecast.seconds);
    text += forecast.seconds < 12 * hour ? fmt::format(", done at {:%H:%M}", fmt::localtime(end))
                                         : fmt::format(", done on {:%A %d %B at %H:%M}", fmt::localtime(end));
  }
  return text + fmt::format("; {} of memory", trace::bytes_text(forecast.peak_bytes));
}

void tell_forecast(const Progress& progress, const CommonOptions& common, const Forecast& forecast,
                   bool is_confirmed) {
  const std::string place = common.place.is_gpu() ? common.place.name() : "the CPU";
  progress.tell(forecast_text(forecast, place, std::time(nullptr)));
  require(is_confirmed || forecast.seconds <= hour || !somebody_sits_here(), [&] {
    return fmt::format(
        "this takes about {} by the plan; --yes begins it, --stop-after 3 shows where it is heading, and "
        "fewer --steps or --frames take less",
        plan::duration(forecast.seconds));
  });
}

void tell_untrained_size(const Progress& progress, const fs::path& model, VideoShape video) {
  const auto trained = io::read_generation_defaults(model).trained;
  if (trained.empty() || std::ranges::find(trained, video) != trained.end()) return;
  std::vector<std::string> sizes;
  for (const VideoShape& size : trained) sizes.push_back(to_string(size));
  progress.tell(fmt::format("warning: {} says that it was trained on {}; {} may drift", model.string(),
                            fmt::join(sizes, " and "), to_string(video)));
}

std::string video_text(const fs::path& output, VideoShape video, io::FrameRate rate, std::uint64_t seed,
                       const std::string& player) {
  const io::VideoKind kind = io::video_kind(output);
  const bool has_rate = kind != io::VideoKind::tensor && kind != io::VideoKind::png_folder;
  std::string text = fmt::format("{}: {}", output.string(), to_string(video));
  if (has_rate)
    text +=
        fmt::format(" at {} a second, {}", to_string(rate), trace::seconds_text(video.frames / rate.value()));
  text += fmt::format(", {}, seed {}; ", trace::bytes_text(file_bytes(output)), seed);
  const std::string path = io::in_shell(output.string());
  if (has_rate && player.empty())
    return text + "any player shows it, and stepvideo inspect tells what made it";
  return text + (has_rate ? player : "stepvideo inspect") + " " + path +
         (has_rate ? " shows it" : " tells of it");
}

void tell_video(const Progress& progress, const fs::path& output, VideoShape video, io::FrameRate rate,
                std::uint64_t seed) {
  progress.tell(video_text(output, video, rate, seed, player_here()));
}

}  // namespace stepvideo::commands
