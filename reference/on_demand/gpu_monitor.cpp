#include "on_demand/gpu_monitor.hpp"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "on_demand/nvml.hpp"

namespace stepvideo {
namespace {

class NvmlSource final : public GpuSource {
 public:
  explicit NvmlSource(const std::string& bus_id) : session_(nvml::Session::open_if_there()) {
    if (session_) device_ = session_->device(bus_id);
  }
  GpuReading read() override {
    if (device_ == nullptr) return {};
    return {.clock_mhz = session_->number("nvmlDeviceGetClockInfo", device_, nvml::clock_sm),
            .power_watts = session_->power_watts(device_),
            .held_back_by = session_->throttle_reasons(device_)};
  }

 private:
  std::optional<nvml::Session> session_;
  nvml::Device* device_ = nullptr;
};

std::string whole(double value) {
  return std::to_string(std::lround(value));
}

}  // namespace

std::unique_ptr<GpuSource> nvml_source(const std::string& bus_id) {
  return std::make_unique<NvmlSource>(bus_id);
}

void GpuStatistics::Values::add(std::optional<double> value) {
  if (!value) return;
  sum += *value;
  ++count;
  least = std::min(least.value_or(*value), *value);
}

void GpuStatistics::Values::add(const Values& others) {
  sum += others.sum;
  count += others.count;
  if (others.least) least = std::min(least.value_or(*others.least), *others.least);
}

void GpuStatistics::add(const GpuStatistics& others) {
  readings_ += others.readings_;
  clock_.add(others.clock_);
  power_.add(others.power_);
  for (const auto& [reason, count] : others.held_back_) held_back_[reason] += count;
}

void GpuStatistics::add(const GpuReading& reading) {
  ++readings_;
  clock_.add(reading.clock_mhz);
  power_.add(reading.power_watts);
  for (const std::string& reason : reading.held_back_by) ++held_back_[reason];
}

std::map<std::string, double> GpuStatistics::held_back() const {
  std::map<std::string, double> shares;
  for (const auto& [reason, count] : held_back_) shares[reason] = static_cast<double>(count) / readings_;
  return shares;
}

std::string GpuStatistics::text() const {
  std::vector<std::string> parts;
  if (clock_.mean())
    parts.push_back("SM clock " + whole(*clock_.mean()) + " MHz on average, " + whole(*clock_.least) +
                    " at least");
  if (power_.mean()) parts.push_back(whole(*power_.mean()) + " W on average");
  std::string reasons;
  for (const auto& [reason, share] : held_back())
    reasons += (reasons.empty() ? "held back by " : ", by ") + reason + " in " + whole(100 * share) + " %";
  if (!reasons.empty())
    parts.push_back(reasons + " of " + std::to_string(readings_) + " readings");
  else if (!parts.empty())
    parts.emplace_back("not held back");
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

struct GpuMonitor::Sampler {
  std::unique_ptr<GpuSource> source;
  std::chrono::milliseconds pause;
  GpuStatistics statistics;
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::jthread thread{[this](const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    do {
      statistics.add(source->read());
      wakes.wait_for(lock, stop, pause, [] { return false; });
    } while (!stop.stop_requested());
  }};

  Sampler(std::unique_ptr<GpuSource> from, std::chrono::milliseconds between)
      : source(std::move(from)), pause(between) {}
};

GpuMonitor::GpuMonitor(std::unique_ptr<GpuSource> source, std::chrono::milliseconds pause)
    : sampler_(std::make_unique<Sampler>(std::move(source), pause)) {}
GpuMonitor::~GpuMonitor() = default;

GpuStatistics GpuMonitor::so_far() const {
  const std::lock_guard lock(sampler_->mutex);
  return sampler_->statistics;
}

GpuStatistics GpuMonitor::stop() {
  sampler_->thread.request_stop();
  if (sampler_->thread.joinable()) sampler_->thread.join();
  return sampler_->statistics;
}

}  // namespace stepvideo
