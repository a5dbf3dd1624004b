// How much slower or faster this machine is than the cost model says, as ramp measured it.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "plan/cost_model.hpp"

namespace stepvideo::plan {

/// What a measurement holds for: other devices, precisions and thread counts have others.
struct CalibrationKey {
  std::string device, precision;
  int threads = 1;
};

/// Measured over planned seconds of a stage: "denoise", "decode".
using Calibration = std::map<std::string, double>;

/// Where calibrations are kept: calibration.json in the folder stepvideo of XDG_CACHE_HOME, or of ~/.cache;
/// empty where neither is known.
std::filesystem::path calibration_file();

/// The one that ramp left for the key; empty where it left none, or the file cannot be read.
Calibration read_calibration(const CalibrationKey& key);

/// Leaves one, in the place of an earlier one for the key. Throws Error where the disk refuses.
void write_calibration(const CalibrationKey& key, const Calibration& calibration);

/// Scales the seconds of the phases, and with them the total. What deadlines are made of stays.
void calibrate(Cost& cost, const Calibration& calibration);

}  // namespace stepvideo::plan
