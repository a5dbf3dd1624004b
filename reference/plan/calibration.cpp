#include "plan/calibration.hpp"

#include <cmath>
#include <cstdlib>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/pending_file.hpp"

namespace stepvideo::plan {
namespace {

namespace fs = std::filesystem;

std::string name_of(const CalibrationKey& key) {
  return fmt::format("{}, {}, {} threads", key.device, key.precision, key.threads);
}

/// All that were left; an empty object where there are none or the file is not ours.
io::Json read_all(const fs::path& file) {
  std::error_code unused;
  if (file.empty() || !fs::exists(file, unused)) return io::Json::object();
  try {
    io::Json all = io::read_json(file);
    if (all.is_object()) return all;
  } catch (const RequestError&) {  // measured again, then
  }
  return io::Json::object();
}

}  // namespace

fs::path calibration_file() {
  const auto folder = [](const char* name, const char* below) {
    const char* const value = std::getenv(name);
    return value == nullptr || *value == 0 ? fs::path() : fs::path(value) / below / "calibration.json";
  };
  const fs::path file = folder("XDG_CACHE_HOME", "stepvideo");
  return file.empty() ? folder("HOME", ".cache/stepvideo") : file;
}

Calibration read_calibration(const CalibrationKey& key) {
  Calibration calibration;
  const io::Json found = read_all(calibration_file()).value(name_of(key), io::Json::object());
  if (!found.is_object()) return calibration;
  for (const auto& [stage, factor] : found.items()) {
    const double value = factor.is_number() ? factor.get<double>() : 0;
    if (std::isfinite(value) && value > 0) calibration[stage] = value;
  }
  return calibration;
}

void write_calibration(const CalibrationKey& key, const Calibration& calibration) {
  const fs::path file = calibration_file();
  require(!file.empty(), [] { return "HOME is not set; where it is, ramp keeps what it measured"; });
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) throw Error(fmt::format("{} cannot be made: {}", file.parent_path().string(), error.message()));
  io::Json all = read_all(file);
  all[name_of(key)] = calibration;
  io::write_file(file, all.dump(2, ' ', false, io::Json::error_handler_t::replace) + '\n');
}

void calibrate(Cost& cost, const Calibration& calibration) {
  for (PhaseCost& phase : cost.phases) {
    const auto factor = calibration.find(phase.name);
    if (factor == calibration.end()) continue;
    cost.total_seconds += (factor->second - 1) * phase.seconds;
    phase.seconds *= factor->second;
    if (phase.name == "denoise") cost.denoise_factor = factor->second;
  }
}

}  // namespace stepvideo::plan
