// What explain reads out of event logs whose every number is known: tests/data/events/make_events.py.
#define BOOST_TEST_MODULE trace
#include <algorithm>
#include <ctime>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include "support/scratch_folder.hpp"
#include "trace/causes.hpp"
#include "trace/report.hpp"
#include "trace/units.hpp"

using namespace stepvideo;
using namespace stepvideo::trace;
using testing::ScratchFolder;

namespace {

const std::filesystem::path events = STEPVIDEO_TEST_DATA "/events";

Explained explain(const std::string& name) {
  return explain_run({events / name});
}

const StageSummary& stage(const Summary& summary, const std::string& name) {
  const auto at = std::ranges::find(summary.stages, name, &StageSummary::name);
  BOOST_REQUIRE_MESSAGE(at != summary.stages.end(), "no stage " << name);
  return *at;
}

void check_near(double value, double expected) {
  BOOST_CHECK_MESSAGE(std::abs(value - expected) < 1e-6, value << " is not " << expected);
}

void check_has(const std::string& text, const std::vector<std::string>& phrases) {
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

/// The cause of the largest difference in one hand-made log of a stage `name`.
std::string cause_of(const std::string& lines) {
  const ScratchFolder folder;
  const auto explained = explain_run({folder.write("a.ndjson", lines)});
  const auto differences = largest_differences(explained.summary);
  return differences.empty() ? "" : differences.front().cause;
}

std::string stage_log(const std::string& facts, const std::string& end, const std::string& name = "decode") {
  return R"({"time":0,"rank":0,"stage":")" + name + R"(","event":"begin","predicted_seconds":1,"run":{)" +
         facts + "}}\n" + R"({"time":9,"rank":0,"stage":")" + name + R"(","event":"end","seconds":9,)" + end +
         "}\n";
}

}  // namespace

BOOST_AUTO_TEST_CASE(ranks_are_aligned_by_the_ends_of_their_common_collectives) {
  const auto explained = explain("two_ranks");
  BOOST_REQUIRE_EQUAL(explained.offsets.size(), 2u);
  check_near(explained.offsets[1].seconds, 12.5);
  BOOST_CHECK(explained.offsets[1].method == ClockOffset::Method::collectives);
  check_near(explained.summary.seconds(), 10);
  check_has(to_text(explained), {"12.500 s ahead", "4 common collectives", "finished"});
}

BOOST_AUTO_TEST_CASE(ranks_without_collectives_are_aligned_by_their_start_times_or_taken_as_together) {
  const ScratchFolder folder;
  const auto line = [](int rank, const std::string& more) {
    return R"({"time":1,"rank":)" + std::to_string(rank) + R"(,"stage":"load","event":"begin")" + more +
           "}\n";
  };
  folder.write("0.ndjson", line(0, R"(,"run":{"start":1000.5})"));
  folder.write("1.ndjson", line(1, R"(,"run":{"start":1003.0})"));
  folder.write("2.ndjson", line(2, ""));
  const auto explained = explain_run({folder.path()});
  BOOST_CHECK(explained.offsets[1].method == ClockOffset::Method::start_time);
  check_near(explained.offsets[1].seconds, -2.5);
  check_near(explained.summary.last_events[1].time, 3.5);
  BOOST_CHECK(explained.offsets[2].method == ClockOffset::Method::assumed);
  check_has(to_text(explained), {"wall-clock starts", "no collective and no start time"});
}

BOOST_AUTO_TEST_CASE(time_is_shared_out_between_compute_communication_io_and_idle) {
  const auto shares = explain("two_ranks").summary.shares;
  for (const Shares& share : shares) {
    check_near(share.io, 6);
    check_near(share.exposed_communication, 0.4);
    check_near(share.compute, 3.6);
    check_near(share.idle, 0);
  }
}

BOOST_AUTO_TEST_CASE(a_slow_load_is_blamed_on_reading) {
  const auto differences = largest_differences(explain("two_ranks").summary);
  BOOST_REQUIRE_EQUAL(differences.size(), 1u);
  BOOST_CHECK_EQUAL(differences[0].stage, "load transformer");
  check_near(differences[0].excess(), 4);
  check_has(differences[0].cause, {"9.7 GB/s", "waiting for the disk"});
}

BOOST_AUTO_TEST_CASE(a_late_rank_is_named_and_the_others_waiting_is_idle_time) {
  const auto summary = explain("straggler").summary;
  BOOST_REQUIRE(summary.straggler.has_value());
  BOOST_CHECK_EQUAL(summary.straggler->rank, 2);
  BOOST_CHECK_EQUAL(summary.straggler->last_to_come, 8u);
  check_near(summary.straggler->caused_seconds, 4);
  check_near(summary.shares[0].idle, 4);
  check_near(summary.shares[2].idle, 0);
  check_near(summary.shares[2].compute, 11.2);
  check_has(largest_differences(summary).at(0).cause, {"rank 2 is late", "8 of 8 collectives"});
}

BOOST_AUTO_TEST_CASE(a_slow_link_is_told_from_a_late_rank) {
  const auto summary = explain("slow_link").summary;
  BOOST_CHECK(!summary.straggler || summary.straggler->caused_seconds < 1e-6);
  check_near(summary.shares[1].exposed_communication, 1.6);
  check_has(largest_differences(summary).at(0).cause, {"the link", "2.5 GB/s", "predicted 400.0 ms"});
}

BOOST_AUTO_TEST_CASE(what_computation_hides_is_not_exposed) {
  const ScratchFolder folder;
  const auto log = folder.write("a.ndjson",
                                R"({"time":0,"rank":0,"stage":"denoise","event":"begin"}
{"time":2,"rank":0,"stage":"denoise","event":"collective","op":"ring","seconds":2,"exposed_seconds":0.5}
{"time":4,"rank":0,"stage":"denoise","event":"end","seconds":4}
)");
  const auto shares = explain_run({log}).summary.shares.at(0);
  check_near(shares.exposed_communication, 0.5);
  check_near(shares.compute, 3.5);
}

BOOST_AUTO_TEST_CASE(a_run_cut_short_tells_each_ranks_last_event_and_who_is_behind) {
  const auto explained = explain("cut");
  const Summary& summary = explained.summary;
  BOOST_CHECK(summary.state == Summary::State::cut);
  BOOST_REQUIRE_EQUAL(summary.behind.size(), 1u);
  BOOST_CHECK_EQUAL(summary.behind[0], 1);
  BOOST_CHECK(summary.last_events[0].is_cut_line && !summary.last_events[1].is_cut_line);
  check_has(to_text(explained), {"cut short", "rank 0: last event at 3.000 s, step 3", "last line is cut",
                                 "rank 1: last event at 2.000 s, step 2", "rank 1 is behind"});
}

BOOST_AUTO_TEST_CASE(a_stuck_collective_names_the_rank_that_never_came) {
  const auto explained = explain("stuck");
  check_has(to_text(explained),
            {"rank 1 is behind: the others wait in all_gather in stage denoise, step 3, layer 12",
             "warning at 32.900 s, rank 0", "has not ended after 30 s"});
  check_near(explained.summary.shares[0].idle, 30);
}

BOOST_AUTO_TEST_CASE(when_all_ranks_entered_none_is_blamed) {
  const ScratchFolder folder;
  for (const char* rank : {"0", "1"})
    folder.write(std::string(rank) + ".ndjson",
                 std::string(R"({"time":0,"stage":"denoise","event":"begin","rank":)") + rank + "}\n" +
                     R"({"time":1,"stage":"denoise","event":"begin","op":"all_gather","rank":)" + rank +
                     "}\n");
  check_has(to_text(explain_run({folder.path()})), {"no rank is behind", "the link or the library hangs"});
}

BOOST_AUTO_TEST_CASE(a_rank_whose_log_is_missing_is_named) {
  const auto explained = explain_run({events / "two_ranks/rank0.ndjson"});
  BOOST_REQUIRE_EQUAL(explained.summary.missing_ranks.size(), 1u);
  check_has(to_text(explained), {"no log of rank 1"});
}

BOOST_AUTO_TEST_CASE(unknown_fields_and_events_are_ignored) {
  const auto explained = explain("unknown_fields.ndjson");
  const Summary& summary = explained.summary;
  check_near(stage(summary, "denoise").seconds(), 7);
  BOOST_CHECK(summary.state == Summary::State::failed);
  check_has(largest_differences(summary).at(0).cause, {"warm-up", "3.00 s", "1.00 s"});
  const std::string text = to_text(explained);
  check_has(text, {"error at 9.000 s, rank 0, stage decode: frame 3 holds NaN\\x0a"});
}

BOOST_AUTO_TEST_CASE(each_rule_finds_its_cause) {
  check_has(cause_of(stage_log(R"("memory_bytes":1000000000)", R"("peak_bytes":950000000)")),
            {"memory", "950 MB"});
  check_has(cause_of(stage_log(R"("threads":8)", R"("cpu_seconds":70,"involuntary_switches":90000)")),
            {"OMP_WAIT_POLICY=passive"});
  check_has(cause_of(stage_log(R"("threads":8,"wait_policy":"passive")",
                               R"("cpu_seconds":70,"involuntary_switches":90000)")),
            {"lost their cores", "fewer --threads"});
  check_has(cause_of(stage_log(R"("threads":8)", R"("cpu_seconds":9)")), {"1.0 cores for 8 threads"});
  const std::string on_gpu =
      R"("threads":8,"gpu":"X","gpu_clock_mhz":1410,"gpu_held_back_by_sw_power_cap":0.82)";
  check_has(cause_of(stage_log(on_gpu, R"("cpu_seconds":9)", "denoise")),
            {"held back 82 % of the time (sw_power_cap), its clock 1410 MHz on average"});
  // What the host's threads do meanwhile is no cause.
  BOOST_CHECK_EQUAL(
      cause_of(stage_log(R"("threads":8,"gpu":"X")", R"("cpu_seconds":9)", "denoise")).find("cores"),
      std::string::npos);
  check_has(cause_of(stage_log("", R"("bytes":9000000000,"cpu_seconds":8.9)", "load transformer")),
            {"1.0 GB/s", "the processor"});
  check_has(cause_of(stage_log("", R"("peak_bytes":1)")), {"nothing in the log tells"});
  std::string steps = R"({"time":0,"rank":0,"stage":"denoise","event":"begin","predicted_seconds":6})"
                      "\n";
  for (int step = 1; step <= 6; ++step)
    steps += R"({"time":9,"rank":0,"stage":"denoise","event":"step","seconds":)" +
             std::to_string(step <= 3 ? 1 : 2) + "}\n";
  steps += R"({"time":9,"rank":0,"stage":"denoise","event":"end","seconds":9})"
           "\n";
  check_has(cause_of(steps), {"steps grew from 1.00 s to 2.00 s"});
}

BOOST_AUTO_TEST_CASE(the_three_largest_differences_come_first) {
  const ScratchFolder folder;
  std::string log;
  for (const int excess : {1, 4, 2, 3})
    log += R"({"time":20,"rank":0,"event":"end","predicted_seconds":10,"stage":"s)" + std::to_string(excess) +
           R"(","seconds":)" + std::to_string(10 + (excess == 2 ? -excess : excess)) + "}\n";
  const auto differences = largest_differences(explain_run({folder.write("a.ndjson", log)}).summary);
  BOOST_REQUIRE_EQUAL(differences.size(), 3u);
  BOOST_CHECK_EQUAL(differences[0].stage, "s4");
  BOOST_CHECK_EQUAL(differences[1].stage, "s3");
  BOOST_CHECK_EQUAL(differences[2].stage, "s2");
  check_has(differences[2].cause, {"faster than expected"});
}

BOOST_AUTO_TEST_CASE(two_runs_are_compared_stage_by_stage_with_what_changed) {
  const ScratchFolder folder;
  const auto first = folder.write("a.ndjson", stage_log(R"("threads":2,"start":1)", R"("cpu_seconds":18)"));
  const auto second = folder.write("b.ndjson",
                                   R"({"time":0,"rank":0,"stage":"decode","event":"begin","run":{"threads":1}}
{"time":18,"rank":0,"stage":"decode","event":"end","seconds":18}
)");
  const auto a = explain_run({first}), b = explain_run({second});
  check_has(compare_text(a, b), {"2.00", "changed: threads 2 -> 1", "9.00 s more (9.00 s in the first run)"});
  const auto json = compare_json(a, b);
  BOOST_CHECK_EQUAL(json.at("changed").size(), 1u);
  check_near(json.at("differences").at(0).at("seconds").get<double>(), 18);
}

BOOST_AUTO_TEST_CASE(a_log_with_twice_as_many_stages_takes_twice_as_long_not_four_times) {
  const ScratchFolder folder;
  const auto processor_seconds = [&](int stages) {
    std::string log;
    for (int i = 0; i < stages; ++i)
      log += fmt::format(R"({{"time":{},"rank":0,"stage":"s{}","event":"end","seconds":1}})"
                         "\n",
                         i, i);
    const auto path = folder.write("many.ndjson", log);
    const std::clock_t begin = std::clock();
    const Explained explained = explain_run({path});
    const auto count = static_cast<std::size_t>(stages);
    BOOST_CHECK_EQUAL(explained.summary.stages.size(), count);
    BOOST_CHECK_EQUAL(to_json(explained).at("stages").size(), count);
    const std::string last = fmt::format("s{}", stages - 1);
    check_has(to_text(explained), {last});
    check_has(compare_text(explained, explained), {last});
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  const double once = processor_seconds(50'000), twice = processor_seconds(100'000);
  BOOST_TEST_MESSAGE(once << " and " << twice << " s of processor time");
  BOOST_CHECK_MESSAGE(twice < 3 * once, twice << " s of processor time instead of about " << 2 * once);
}

BOOST_AUTO_TEST_CASE(sizes_are_told_in_the_unit_that_fits_them) {
  BOOST_CHECK_EQUAL(bytes_text(0), "0 B");
  BOOST_CHECK_EQUAL(bytes_text(42), "42 B");
  BOOST_CHECK_EQUAL(bytes_text(1500), "1.5 kB");
  BOOST_CHECK_EQUAL(bytes_text(999'499), "999 kB");
  BOOST_CHECK_EQUAL(bytes_text(1e6), "1 MB");
  BOOST_CHECK_EQUAL(bytes_text(812.3e6), "812 MB");
  BOOST_CHECK_EQUAL(bytes_text(999.9e6), "1.0 GB");
  BOOST_CHECK_EQUAL(bytes_text(77.64e9), "77.6 GB");
  BOOST_CHECK_EQUAL(bytes_text(5e15), "5000.0 TB");
}

BOOST_AUTO_TEST_CASE(a_log_cannot_drive_the_terminal) {
  const ScratchFolder folder;
  const auto path =
      folder.write("run.ndjson", R"({"time":1,"rank":0,"stage":"\u001b[2J\u009b2Ja\n","event":"end"})"
                                 "\n");
  const std::string text = to_text(explain_run({path}));
  check_has(text, {R"(\x1b[2J\x9b2Ja\x0a)"});
  BOOST_CHECK(text.find('\x1b') == text.npos && text.find("\u009b") == text.npos);
}
