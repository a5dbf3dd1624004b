// Clocks, power and what holds a GPU back, while something runs on it.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace stepvideo {

/// What a GPU says of itself at one moment; nothing where it does not tell.
struct GpuReading {
  std::optional<double> clock_mhz, power_watts;
  std::vector<std::string> held_back_by;  ///< nvml::Session::throttle_reasons
};

/// Where readings come from; a test has its own.
class GpuSource {
 public:
  virtual ~GpuSource() = default;
  virtual GpuReading read() = 0;
};

/// NVML's readings of the GPU at that PCI bus id, as CUDA tells it; a source without values where there is no
/// NVML or it knows no such GPU.
std::unique_ptr<GpuSource> nvml_source(const std::string& bus_id);

/// Many readings.
class GpuStatistics {
 public:
  void add(const GpuReading& reading);
  /// Those of another time as well.
  void add(const GpuStatistics& others);

  int readings() const { return readings_; }
  std::optional<double> mean_clock_mhz() const { return clock_.mean(); }
  std::optional<double> least_clock_mhz() const { return clock_.least; }
  std::optional<double> mean_power_watts() const { return power_.mean(); }
  /// The share of the readings in which each reason held the clocks back, 0 to 1.
  std::map<std::string, double> held_back() const;
  /// "SM clock 1755 MHz on average, 1410 at least; 668 W on average; held back by sw_power_cap in 82 % of 300
  /// readings"; empty where there was nothing to read.
  std::string text() const;

 private:
  struct Values {
    double sum = 0;
    int count = 0;
    std::optional<double> least;

    void add(std::optional<double> value);
    void add(const Values& others);
    std::optional<double> mean() const { return count > 0 ? std::optional(sum / count) : std::nullopt; }
  };

  int readings_ = 0;
  Values clock_, power_;
  std::map<std::string, int> held_back_;
};

/// Reads from its construction to stop() in a thread of its own.
class GpuMonitor {
 public:
  GpuMonitor(std::unique_ptr<GpuSource> source, std::chrono::milliseconds pause);
  ~GpuMonitor();
  GpuStatistics so_far() const;
  /// Ends the reading; what was read, at least once.
  GpuStatistics stop();

 private:
  struct Sampler;
  std::unique_ptr<Sampler> sampler_;
};

}  // namespace stepvideo
