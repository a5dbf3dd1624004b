// What a run tells of the GPU it ran on, from readings that are made up.
#define BOOST_TEST_MODULE gpu_watch
#include <atomic>
#include <sstream>
#include <thread>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/error.hpp>

#include "pipeline/watched_transformer.hpp"
#include "support/scratch_folder.hpp"
#include "trace/log.hpp"

using namespace stepvideo;
using pipeline::Denoiser, pipeline::WatchedTransformer;

namespace {

/// One reading after another, the last for ever.
class Readings final : public GpuSource {
 public:
  Readings(std::vector<GpuReading> readings, std::atomic<int>& count)
      : readings_(std::move(readings)), count_(count) {}
  GpuReading read() override {
    const auto at = static_cast<std::size_t>(count_++);
    return readings_[std::min(at, readings_.size() - 1)];
  }

 private:
  std::vector<GpuReading> readings_;
  std::atomic<int>& count_;
};

/// Two steps, each of which waits for two more readings.
class Steps final : public Denoiser::Loaded {
 public:
  explicit Steps(std::atomic<int>& count) : count_(count) {}
  void forward(const pipeline::Conditioning&, LatentsView<const float>, VectorView<const float>,
               LatentsView<float>) override {
    wait();
  }
  void denoise(const pipeline::Integration& run, Progress& progress,
               const pipeline::StepObserver& observer) override {
    progress.stage("denoise", 2, [&](Stage& stage) {
      for (int step = 1; step <= 2; ++step) {
        wait();
        if (observer) observer({.step = step, .steps = 2, .latents = run.latents, .velocities = {}}, stage);
        stage.step();
      }
    });
  }

 private:
  void wait() const {
    for (const int wanted = count_ + 2; count_ < wanted;)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::atomic<int>& count_;
};

place::GpuDescription gpu() {
  return {.ordinal = 1, .name = "NVIDIA X", .uuid = {}, .bus_id = {}, .matmuls = "the table x-1 (abc)"};
}

std::unique_ptr<Denoiser::Loaded> watched(const std::vector<GpuReading>& readings, std::atomic<int>& count,
                                          Progress& progress) {
  return std::make_unique<WatchedTransformer>(
      std::make_unique<Steps>(count), gpu(), progress,
      [readings, &count] { return std::make_unique<Readings>(readings, count); });
}

void denoise(Denoiser::Loaded& transformer, Progress& progress, const pipeline::StepObserver& observer = {}) {
  const pipeline::Conditioning conditioning;
  const pipeline::SamplerSettings settings;
  pipeline::Latents latents;
  transformer.denoise({conditioning, settings, latents}, progress, observer);
}

void check_holds(const std::string& text, const std::string& part) {
  BOOST_CHECK_MESSAGE(text.find(part) != std::string::npos, "'" << part << "' is missing in:\n" << text);
}

}  // namespace

BOOST_AUTO_TEST_CASE(readings_become_means_the_least_clock_and_shares_of_time) {
  GpuStatistics statistics;
  BOOST_CHECK_EQUAL(statistics.text(), "");
  statistics.add({.clock_mhz = 1800, .power_watts = 600, .held_back_by = {}});
  statistics.add({.clock_mhz = 1400, .power_watts = 700, .held_back_by = {"sw_power_cap"}});
  BOOST_CHECK_EQUAL(statistics.text(),
                    "SM clock 1600 MHz on average, 1400 at least; 650 W on average; held back by "
                    "sw_power_cap in 50 % of 2 readings");
  GpuStatistics others;
  others.add({.clock_mhz = 1900, .power_watts = {}, .held_back_by = {"hw_thermal", "sw_power_cap"}});
  others.add(GpuReading{});
  statistics.add(others);
  BOOST_CHECK_EQUAL(statistics.text(),
                    "SM clock 1700 MHz on average, 1400 at least; 650 W on average; held back by hw_thermal "
                    "in 25 %, by sw_power_cap in 50 % of 4 readings");
  GpuStatistics free;
  free.add({.clock_mhz = 1755, .power_watts = {}, .held_back_by = {}});
  BOOST_CHECK_EQUAL(free.text(), "SM clock 1755 MHz on average, 1755 at least; not held back");
}

BOOST_AUTO_TEST_CASE(a_monitor_reads_at_least_once_and_stops_without_waiting_for_its_pause) {
  std::atomic<int> count = 0;
  const auto begin = std::chrono::steady_clock::now();
  GpuMonitor monitor(
      std::make_unique<Readings>(
          std::vector<GpuReading>{{.clock_mhz = 1000, .power_watts = {}, .held_back_by = {}}}, count),
      std::chrono::hours(1));
  BOOST_CHECK_EQUAL(monitor.stop().mean_clock_mhz().value(), 1000);
  BOOST_CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}

BOOST_AUTO_TEST_CASE(a_gpu_that_nvml_does_not_know_has_no_values) {
  const GpuReading reading = nvml_source("ffff:ff:1f.0")->read();
  BOOST_CHECK(!reading.clock_mhz && !reading.power_watts && reading.held_back_by.empty());
}

BOOST_AUTO_TEST_CASE(the_summary_tells_the_gpu_of_all_steps_and_the_log_its_facts) {
  const testing::ScratchFolder folder;
  std::ostringstream output;
  std::atomic<int> count = 0;
  {
    Progress progress({.log_file = folder / "log.ndjson", .output = &output});
    const auto transformer =
        watched({{.clock_mhz = 1500, .power_watts = 500, .held_back_by = {}},
                 {.clock_mhz = 1300, .power_watts = 700, .held_back_by = {"hw_slowdown"}}},
                count, progress);
    int seen = 0;
    denoise(*transformer, progress, [&](const pipeline::StepState&, Stage&) { ++seen; });
    BOOST_CHECK_EQUAL(seen, 2);
    denoise(*transformer, progress);
    progress.print_summary();
  }
  const std::string text = output.str();
  const std::string note = text.substr(text.find("NVIDIA X (cuda:1): SM clock 13"));
  BOOST_CHECK_MESSAGE(note.find("NVIDIA X", 1) == std::string::npos, "two notes of one GPU in:\n" << text);
  check_holds(note, "1300 at least");
  check_holds(note, "held back by hw_slowdown in ");
  check_holds(note, "; the first step was done ");
  check_holds(note, "after the start; matrix products by the table x-1 (abc)\n");
  const auto log = testing::read_text(folder / "log.ndjson");
  check_holds(log, "\"gpu_least_clock_mhz\":1300");
  check_holds(log, "\"gpu_held_back_by_hw_slowdown\":0.");
  check_holds(log, "\"gpu_matmuls\":\"the table x-1 (abc)\"");
}

BOOST_AUTO_TEST_CASE(a_gpu_that_tells_nothing_and_a_pass_without_steps_leave_what_is_known) {
  std::ostringstream output;
  std::atomic<int> count = 0;
  Progress progress({.output = &output});
  const auto transformer = watched({{}}, count, progress);
  transformer->forward({}, {}, {}, {});
  progress.print_summary();
  check_holds(output.str(), "NVIDIA X (cuda:1): matrix products by the table x-1 (abc)\n");
}
