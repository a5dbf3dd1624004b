// ramp's parts: which sizes, what is learned from them, when it stops, and how a process is bounded.
#define BOOST_TEST_MODULE ramp
#include <cmath>
#include <thread>

#include <boost/test/unit_test.hpp>

#include "commands/ramp_climb.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::ramp;
using testing::ScratchFolder;

namespace {

const Rung full{{68, 256, 384}, 16};

double work_of(const Rung& rung) {
  return 1e-6 * static_cast<double>(rung.video.tokens()) * rung.steps;
}

Model model_of(const Rung& rung) {
  return {{{"denoise", work_of(rung)}}, 1e6 * static_cast<double>(rung.video.tokens())};
}

/// A machine: denoise takes `factor` times the model and a fixed part, everything else is fixed.
struct Machine {
  double factor = 3, fixed = 0.5;
  std::function<void(const Rung&, Measurement&)> change = [](const Rung&, Measurement&) {};
  int runs = 0;

  Measurement operator()(const Rung& rung) {
    ++runs;
    const auto stage = [](const std::string& name, double seconds) {
      trace::StageOnRank on_rank{.name = name};
      on_rank.seconds = seconds;
      return trace::StageSummary{name, {on_rank}};
    };
    const double seconds = fixed + factor * 1e3 * work_of(rung);
    Measurement measured;
    measured.outcome.seconds = seconds + 0.25;
    measured.outcome.peak_bytes = 100'000'000 + static_cast<std::uint64_t>(model_of(rung).peak_bytes);
    measured.summary.emplace().stages = {stage("load transformer", 0.125), stage("denoise", seconds)};
    change(rung, measured);
    return measured;
  }
};

const Limits wide{.bounds = {1e9, 1e15}};

Climb climb_with(Machine& machine, const Limits& limits = wide) {
  const auto scaled = [](const Rung& rung) {
    Model model = model_of(rung);
    model.stage_seconds["denoise"] *= 1e3;
    return model;
  };
  return climb(full, limits, scaled, std::ref(machine), [](const Row&) {});
}

void check_has(const std::string& text, const std::vector<std::string>& phrases) {
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

void slow_down(Measurement& measured, double factor) {
  auto& denoise = measured.summary->stages.back().ranks.front();
  measured.outcome.seconds += (factor - 1) * denoise.seconds;
  denoise.seconds *= factor;
}

}  // namespace

BOOST_AUTO_TEST_CASE(frames_rise_first_then_the_size_then_the_steps) {
  const std::vector<Rung> expected{{{17, 64, 96}, 2},   {{34, 64, 96}, 2},   {{68, 64, 96}, 2},
                                   {{68, 128, 192}, 2}, {{68, 256, 384}, 2}, {{68, 256, 384}, 4},
                                   {{68, 256, 384}, 8}};
  const auto rungs = ladder(full);
  BOOST_REQUIRE_EQUAL(rungs.size(), expected.size());
  for (std::size_t i = 0; i < rungs.size(); ++i)
    BOOST_CHECK_MESSAGE(rungs[i] == expected[i], to_string(rungs[i]) << " at " << i);
}

BOOST_AUTO_TEST_CASE(every_size_is_on_the_grid_within_the_request_and_not_the_request_itself) {
  for (const int frames : {1, 17, 51, 204, 1003})
    for (const int height : {16, 32, 96, 544, 4096})
      for (const int width : {16, 48, 992})
        for (const int steps : {1, 2, 3, 50}) {
          const Rung request{{frames, height, width}, steps};
          const auto rungs = ladder(request);
          BOOST_REQUIRE(!rungs.empty());
          for (const Rung& rung : rungs) {
            BOOST_CHECK_NO_THROW(require_video_on_grid(rung.video));
            BOOST_CHECK(rung.video.frames <= frames && rung.video.height <= height &&
                        rung.video.width <= width && rung.steps <= steps && rung.steps >= 1);
            BOOST_CHECK(rungs.size() == 1 || rung != request);
          }
        }
  BOOST_CHECK(ladder({{1, 16, 16}, 1}).front() == (Rung{{1, 16, 16}, 1}));
}

BOOST_AUTO_TEST_CASE(a_fit_of_exact_points_is_exact_and_certain) {
  Fit fit(2);
  for (const double x : {1.0, 2.0, 5.0}) fit.add(x, 0.5 + 3 * x);
  const Estimate estimate = fit.at(100);
  BOOST_CHECK_CLOSE(estimate.value, 300.5, 1e-6);
  BOOST_CHECK_CLOSE(estimate.low, 300.5, 1e-3);
  BOOST_CHECK_CLOSE(estimate.high, 300.5, 1e-3);
}

BOOST_AUTO_TEST_CASE(one_point_scales_and_is_as_uncertain_as_a_surprise) {
  Fit fit(2);
  fit.add(2, 6);
  const Estimate estimate = fit.at(10);
  BOOST_CHECK_CLOSE(estimate.value, 30.0, 1e-9);
  BOOST_CHECK_CLOSE(estimate.low, 15.0, 1e-9);
  BOOST_CHECK_CLOSE(estimate.high, 60.0, 1e-9);
  BOOST_CHECK_EQUAL(Fit(2).at(3).value, 0.0);
}

BOOST_AUTO_TEST_CASE(noise_widens_the_interval_and_so_does_distance) {
  Fit quiet(2), noisy(2);
  for (int i = 1; i <= 6; ++i) {
    const double sign = i % 2 == 0 ? 1 : -1;
    quiet.add(i, (1.0 + i) * (1 + 0.01 * sign));
    noisy.add(i, (1.0 + i) * (1 + 0.2 * sign));
  }
  const auto width = [](const Estimate& e) { return (e.high - e.low) / e.value; };
  BOOST_CHECK_GT(width(noisy.at(6)), 5 * width(quiet.at(6)));
  BOOST_CHECK_GT(width(noisy.at(60)), width(noisy.at(6)));
  const Estimate estimate = noisy.at(8);
  BOOST_CHECK(estimate.low < 9 && 9 < estimate.high);
}

BOOST_AUTO_TEST_CASE(neither_part_of_a_fit_is_negative) {
  Fit falling(2), below(2);
  for (const double x : {1.0, 2.0, 4.0}) {
    falling.add(x, 10 - x);
    below.add(x, 3 * x - 2);
  }
  BOOST_CHECK_GT(falling.at(100).value, 5.0);
  BOOST_CHECK_GT(below.at(0.01).value, 0.0);
  Fit constant(2);
  for (const double y : {1.0, 2.0}) constant.add(1, y);
  BOOST_CHECK(constant.at(1).value > 1 && constant.at(1).value < 2);
}

BOOST_AUTO_TEST_CASE(a_machine_that_behaves_is_estimated_within_its_interval) {
  Machine machine;
  const Climb climb = climb_with(machine);
  BOOST_CHECK(climb.end == Climb::End::complete);
  BOOST_CHECK_EQUAL(climb.rows.size(), 7u);
  BOOST_CHECK_EQUAL(machine.runs, 8);  // the first size warms up
  BOOST_CHECK(!climb.rows[0].predicted_seconds && climb.rows[1].predicted_seconds);
  const double truth = machine.fixed + machine.factor * 1e3 * work_of(full) + 0.25;
  BOOST_CHECK_CLOSE(climb.total.value, truth, 1.0);
  BOOST_CHECK(climb.total.low <= truth * 1.001 && truth * 0.999 <= climb.total.high);
  BOOST_CHECK_CLOSE(climb.peak_bytes, 1e8 + model_of(full).peak_bytes, 0.1);
}

BOOST_AUTO_TEST_CASE(a_stage_that_is_off_stops_the_climb_with_its_reason) {
  Machine machine;
  machine.change = [](const Rung& rung, Measurement& measured) {
    if (rung.video.height >= 128) slow_down(measured, 5);
  };
  const Climb climb = climb_with(machine);
  BOOST_CHECK(climb.end == Climb::End::surprise);
  BOOST_CHECK_EQUAL(climb.rows.size(), 4u);
  check_has(climb.reason, {"68 frames of 192x128", "denoise took", "predicted"});
  BOOST_CHECK_GT(climb.total.value, 0);  // what the sizes before it say
}

BOOST_AUTO_TEST_CASE(a_single_hiccup_is_run_again_and_noted) {
  Machine machine;
  machine.change = [&](const Rung& rung, Measurement& measured) {
    if (rung.video.height == 128 && machine.runs == 5) slow_down(measured, 5);
  };
  const Climb climb = climb_with(machine);
  BOOST_CHECK(climb.end == Climb::End::complete);
  BOOST_CHECK_EQUAL(machine.runs, 9);
  BOOST_REQUIRE_EQUAL(climb.rows[3].notes.size(), 1u);
  check_has(climb.rows[3].notes[0], {"run again"});
}

BOOST_AUTO_TEST_CASE(what_is_faster_than_predicted_is_a_note) {
  Machine machine;
  machine.change = [](const Rung& rung, Measurement& measured) {
    if (rung.video.frames >= 34) slow_down(measured, 0.2);
  };
  const Climb climb = climb_with(machine);
  BOOST_CHECK(climb.end == Climb::End::complete);
  BOOST_REQUIRE(!climb.rows[1].notes.empty());
  check_has(climb.rows[1].notes[0], {"denoise", "calibrates later sizes anew"});
}

BOOST_AUTO_TEST_CASE(a_size_that_would_break_a_bound_is_not_started) {
  Machine machine;
  const Climb slow = climb_with(machine, {.bounds = {2.0, 1e15}});
  BOOST_CHECK(slow.end == Climb::End::bound);
  check_has(slow.reason, {"--time-limit 2.00 s", "was not started"});
  for (const Row& row : slow.rows) BOOST_CHECK_LT(row.seconds, 2.0);
  BOOST_CHECK_GT(slow.total.value, 2.0);
  const Climb large = climb_with(machine, {.bounds = {1e9, 5e8}});
  BOOST_CHECK(large.end == Climb::End::bound);
  check_has(large.reason, {"--memory-limit 500 MB"});
}

BOOST_AUTO_TEST_CASE(a_program_that_fails_or_is_killed_is_a_surprise) {
  const auto ends = [](ProcessOutcome::End end, int code, const std::string& errors = "") {
    Machine machine;
    machine.change = [=](const Rung& rung, Measurement& measured) {
      if (rung.video.frames < 34) return;
      measured.outcome.end = end;
      measured.outcome.code = code;
      measured.outcome.errors = errors;
      measured.summary.reset();
    };
    const Climb climb = climb_with(machine);
    BOOST_CHECK(climb.end == Climb::End::surprise);
    BOOST_CHECK_EQUAL(climb.rows.size(), 1u);
    return climb.reason;
  };
  check_has(ends(ProcessOutcome::End::exited, 1, "latents are NaN"), {"34 frames", "latents are NaN"});
  check_has(ends(ProcessOutcome::End::exited, 1), {"exit code 1"});
  check_has(ends(ProcessOutcome::End::killed_by_signal, 9), {"signal 9", "last memory"});
  check_has(ends(ProcessOutcome::End::over_time, 2), {"--time-limit"});
  check_has(ends(ProcessOutcome::End::over_memory, 2), {"--memory-limit"});
}

BOOST_AUTO_TEST_CASE(a_request_that_is_refused_is_refused_with_the_same_sentence) {
  Machine machine;
  machine.change = [](const Rung&, Measurement& measured) {
    measured.outcome.code = 2;
    measured.outcome.errors = "--model: no";
  };
  testing::check_refused([&] { climb_with(machine); }, {"--model: no"});
}

BOOST_AUTO_TEST_CASE(an_interrupt_ends_the_climb_with_what_was_learned) {
  Machine machine;
  machine.change = [](const Rung& rung, Measurement& measured) {
    if (rung.video.height == 128) measured.outcome.end = ProcessOutcome::End::interrupted;
  };
  const Climb climb = climb_with(machine);
  BOOST_CHECK(climb.end == Climb::End::interrupted);
  BOOST_CHECK_EQUAL(climb.rows.size(), 3u);
  BOOST_CHECK_GT(climb.total.value, 0);
}

BOOST_AUTO_TEST_CASE(a_process_is_measured_and_its_last_error_kept) {
  const ScratchFolder folder;
  const auto outcome = run_bounded("/bin/sh", {"-c", "echo one >&2; echo 'stepvideo: two' >&2; exit 3"},
                                   wide.bounds, folder.path());
  BOOST_CHECK(outcome.end == ProcessOutcome::End::exited);
  BOOST_CHECK_EQUAL(outcome.code, 3);
  BOOST_CHECK_EQUAL(outcome.errors, "two");
  BOOST_CHECK_GT(outcome.peak_bytes, 100'000u);
  BOOST_CHECK_THROW(run_bounded("/no/such/program", {}, wide.bounds, folder.path()), Error);
}

BOOST_AUTO_TEST_CASE(a_process_over_its_bounds_is_stopped) {
  const ScratchFolder folder;
  const auto late = run_bounded("/bin/sleep", {"60"}, {0.2, 1e15}, folder.path());
  BOOST_CHECK(late.end == ProcessOutcome::End::over_time);
  BOOST_CHECK_LT(late.seconds, 10.0);
  const auto large = run_bounded("/bin/sleep", {"60"}, {60, 1}, folder.path());
  BOOST_CHECK(large.end == ProcessOutcome::End::over_memory);
  const auto deaf =
      run_bounded("/bin/sh", {"-c", "trap '' INT; while :; do :; done"}, {0.2, 1e15}, folder.path());
  BOOST_CHECK(deaf.end == ProcessOutcome::End::over_time);
  BOOST_CHECK_LT(deaf.seconds, 20.0);
  const auto killed = run_bounded("/bin/sh", {"-c", "kill -9 $$"}, wide.bounds, folder.path());
  BOOST_CHECK(killed.end == ProcessOutcome::End::killed_by_signal);
  BOOST_CHECK_EQUAL(killed.code, 9);
}
