#include "support/gpu_monitor.hpp"

#include <chrono>
#include <stop_token>
#include <thread>

#include <dlfcn.h>

namespace stepvideo::bench {
namespace {

/// The few calls of NVML that are used here, declared as in its nvml.h (a toolkit need not bring it).
class Nvml {
 public:
  using Gpu = void*;

  static const Nvml& instance() {
    static const Nvml nvml;
    return nvml;
  }
  Gpu find(const std::string& pci_bus_id) const {
    Gpu gpu = nullptr;
    return is_ready_ && find_(pci_bus_id.c_str(), &gpu) == success ? gpu : nullptr;
  }
  std::optional<double> clock_mhz(Gpu gpu) const {
    constexpr int multiprocessor_clock = 1;
    unsigned value = 0;
    if (clock_(gpu, multiprocessor_clock, &value) != success) return {};
    return value;
  }
  /// Of this moment; nvmlDeviceGetPowerUsage would be the mean of the last second.
  std::optional<double> power_watts(Gpu gpu) const {
    FieldValue power;
    power.field = 186;  // NVML_FI_DEV_POWER_INSTANT, in milliwatts
    if (fields_(gpu, 1, &power) != success || power.status != success) return {};
    return 1e-3 * power.value.as_unsigned;
  }

 private:
  static constexpr int success = 0;
  struct FieldValue {
    unsigned field = 0, scope = 0;
    long long timestamp = 0, latency = 0;
    int type = 0, status = 0;
    union {
      unsigned as_unsigned;
      unsigned long long as_bits = 0;
    } value;
  };

  Nvml() {
    void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return;
    int (*initialise)() = nullptr;
    const auto load = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, name));
      return function != nullptr;
    };
    is_ready_ = load(initialise, "nvmlInit_v2") && load(find_, "nvmlDeviceGetHandleByPciBusId_v2") &&
                load(clock_, "nvmlDeviceGetClockInfo") && load(fields_, "nvmlDeviceGetFieldValues") &&
                initialise() == success;
  }

  bool is_ready_ = false;
  int (*find_)(const char*, Gpu*) = nullptr;
  int (*clock_)(Gpu, int, unsigned*) = nullptr;
  int (*fields_)(Gpu, int, FieldValue*) = nullptr;
};

class Mean {
 public:
  void add(std::optional<double> value) {
    if (value) sum_ += *value, ++count_;
  }
  std::optional<double> value() const { return count_ > 0 ? std::optional(sum_ / count_) : std::nullopt; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

}  // namespace

struct GpuMonitor::Sampler {
  Nvml::Gpu gpu;
  Mean clock, power;
  std::jthread thread{[this](const std::stop_token& stop) {
    while (gpu != nullptr && !stop.stop_requested()) {
      clock.add(Nvml::instance().clock_mhz(gpu));
      power.add(Nvml::instance().power_watts(gpu));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }};
};

GpuMonitor::GpuMonitor(const std::string& pci_bus_id)
    : sampler_(new Sampler{.gpu = Nvml::instance().find(pci_bus_id), .clock = {}, .power = {}}) {}
GpuMonitor::~GpuMonitor() = default;

GpuState GpuMonitor::stop() {
  sampler_->thread.request_stop();
  if (sampler_->thread.joinable()) sampler_->thread.join();
  return {sampler_->clock.value(), sampler_->power.value()};
}

}  // namespace stepvideo::bench
