// Steps of guidance on ranks that are threads: the same latents, and what happens when one of them fails.
#define BOOST_TEST_MODULE ranks
#include <chrono>
#include <cstring>
#include <new>
#include <random>
#include <thread>

#include <boost/test/unit_test.hpp>

#include "interrupt.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/step_file.hpp"
#include "reference/small_model.hpp"
#include "support/compare.hpp"
#include "support/scratch_folder.hpp"
#include "trace/report.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;
using testing::ScratchFolder, testing::read_text;
namespace fs = std::filesystem;

namespace {

constexpr LatentShape shape{3, 8, 8};  // eight times 24 tokens
constexpr int steps = 3;

struct Model : testing::SmallModel {
  Denoiser denoiser() const { return Denoiser({folder.path(), 11}); }
};

const Model& the_model() {
  static const Model model;
  return model;
}

/// A run on ranks, with step files at `output` where that is not empty.
struct Run {
  Ranks ranks = {};
  Precision precision = Precision::fp32;
  double guidance = 9;
  fs::path output = {};
  std::function<void(int rank, int step)> before_step = {};

  Latents operator()() const {
    const SamplerSettings settings{.steps = steps, .cfg_scale = guidance, .time_shift = 13};
    io::Json manifest{{"stepvideo", "test"}};
    put_sampling(manifest, VideoShape::from_latent(shape), settings);
    Latents latents = noise_latents(7, shape, 4);
    int done = 0;
    const fs::path file = step_file_of(output);
    if (!output.empty() && fs::exists(file)) {
      SavedRun saved = read_step_file(file);
      latents = std::move(saved.latents);
      done = saved.steps_done;
    }
    Progress progress({.is_quiet = true, .log_file = ranks.log_file});
    const auto transformer = the_model().denoiser().load({}, {precision}, progress, ranks);
    Integration run{.conditioning = the_model().conditioning,
                    .settings = settings,
                    .latents = latents,
                    .steps_done = done,
                    .before_step = before_step};
    if (output.empty()) {
      transformer->denoise(run, progress);
    } else {
      StepKeeper keeper(file, manifest, the_model().conditioning, 1, done);
      denoise_and_keep(*transformer, run, keeper, {}, progress);
    }
    return latents;
  }
};

bool same_bits(const Latents& a, const Latents& b) {
  return a.size() == b.size() && std::memcmp(a.values.data(), b.values.data(), a.values.size_bytes()) == 0;
}

const Latents& unbroken() {
  static const Latents latents = Run{}();
  return latents;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// What the run throws, within the seconds that a failure may take.
template <class Failure>
std::string failure_of(const Run& run) {
  const auto begin = std::chrono::steady_clock::now();
  std::string text;
  try {
    run();
  } catch (const Failure& failure) {
    text = failure.what();
  }
  BOOST_CHECK_LT(seconds_since(begin), 10);
  return text;
}

void check_contains(const std::string& text, const std::string& phrase) {
  BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

}  // namespace

BOOST_AUTO_TEST_CASE(ranks_along_guidance_and_ulysses_make_the_bits_of_one) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const Latents one = Run{.precision = precision}();
    for (const Topology gpus :
         {Topology{.guidance = 2}, Topology{.ulysses = 8}, Topology{.guidance = 2, .ulysses = 4},
          Topology{.ulysses = 3, .sharding = Sharding::uneven},
          Topology{.guidance = 2, .ulysses = 5, .sharding = Sharding::uneven}})
      BOOST_CHECK_MESSAGE(same_bits(Run{.ranks = {.topology = gpus}, .precision = precision}(), one),
                          to_string(gpus));
  }
}

BOOST_AUTO_TEST_CASE(ranks_along_tensor_and_ring_differ_by_rounding) {
  for (const Topology gpus :
       {Topology{.guidance = 2, .tensor = 2, .ulysses = 2}, Topology{.tensor = 2, .ulysses = 2, .ring = 2},
        Topology{.guidance = 2, .tensor = 2, .ring = 2}, Topology{.tensor = 8}, Topology{.ring = 8},
        Topology{.tensor = 7, .sharding = Sharding::uneven},
        Topology{.ring = 5, .sharding = Sharding::uneven}}) {
    const Latents sharded = Run{.ranks = {.topology = gpus}}();
    STEPVIDEO_CHECK_CLOSE(sharded.values, unbroken().values, testing::fp32_bound);
    BOOST_CHECK_MESSAGE(same_bits(sharded, Run{.ranks = {.topology = gpus}}()),
                        to_string(gpus) << " gives other bits the second time");
  }
}

BOOST_AUTO_TEST_CASE(without_guidance_ranks_share_the_prompt_alone) {
  const Latents one = Run{.guidance = 1}();
  BOOST_CHECK(same_bits(Run{.ranks = {.topology = {.ulysses = 4}}, .guidance = 1}(), one));
}

BOOST_AUTO_TEST_CASE(
    a_rank_that_fails_at_any_step_takes_the_others_with_it_and_the_run_goes_on_from_its_file) {
  std::mt19937 engine(std::random_device{}());
  const auto number = [&](int least, int most) { return std::uniform_int_distribution(least, most)(engine); };
  for (int fault = 0; fault < 50; ++fault) {
    const ScratchFolder scratch;
    const int ranks = number(2, 4), rank = number(0, ranks - 1);
    const bool stalls = fault % 5 == 4, is_memory = fault % 5 < 2;
    const int step = number(stalls ? 2 : 1, steps);  // the first step's deadlines are ten times as long
    const Topology gpus{
        .guidance = ranks == 4 ? 2 : 1, .ulysses = ranks == 4 ? 2 : ranks, .sharding = Sharding::uneven};
    Run run{.ranks = {.topology = gpus}, .output = scratch / "l.safetensors"};
    if (stalls) run.ranks.deadlines = {.factor = 0, .floor_seconds = 0.5};
    run.before_step = [&](int of_rank, int at) {
      if (of_rank != rank || at != step) return;
      if (stalls) return std::this_thread::sleep_for(std::chrono::milliseconds(1200));
      if (is_memory) throw std::bad_alloc();
      throw Error("the disk is full");
    };
    check_contains(failure_of<Error>(run), "rank " + std::to_string(rank) +
                                               (stalls      ? " is late: "
                                                : is_memory ? ": out of memory"
                                                            : ": the disk is full"));
    const fs::path file = step_file_of(run.output);
    // Rank 0 may not have had the last velocity of the step before.
    const int done = fs::exists(file) ? read_step_file(file).steps_done : 0;
    BOOST_CHECK(done == step - 1 || (gpus.guidance == 2 && done == step - 2));
    // With another number of ranks.
    BOOST_CHECK(same_bits(Run{.ranks = {.topology = {.ulysses = 2}}, .output = run.output}(), unbroken()));
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_stalls_is_named_and_the_others_leave) {
  const ScratchFolder scratch;
  Run run{.ranks = {.topology = {.ulysses = 3, .sharding = Sharding::uneven},
                    .deadlines = {.factor = 0, .floor_seconds = 0.3},
                    .log_file = scratch / "run.ndjson"},
          .output = scratch / "l.safetensors"};
  run.before_step = [](int rank, int step) {
    if (rank == 1 && step == 3) std::this_thread::sleep_for(std::chrono::milliseconds(900));
  };
  const std::string text = failure_of<Error>(run);
  check_contains(text, "rank 1 is late: all_reduce of ranks 0, 1, 2 in step 3 waits for it since 0.");
  check_contains(text, "its last collective, all_gather of ranks 0, 1, 2 in step 2");
  BOOST_CHECK_EQUAL(read_step_file(step_file_of(run.output)).steps_done, 2);
  const auto explained = trace::to_text(trace::explain_run({scratch.path()}));
  for (const char* const phrase : {"rank 1 is late", "rank 2", "all_reduce"})
    check_contains(explained, phrase);
  BOOST_CHECK(same_bits(Run{.output = run.output}(), unbroken()));
}

BOOST_AUTO_TEST_CASE(a_slow_disk_is_no_stall) {
  const ScratchFolder scratch;
  Progress progress({.is_quiet = true});
  const Ranks ranks{.topology = {.ulysses = 2}, .deadlines = {.factor = 0, .floor_seconds = 0.3}};
  const auto transformer = the_model().denoiser().load({}, {Precision::fp32}, progress, ranks);
  const SamplerSettings settings{.steps = steps};
  Latents latents = noise_latents(7, shape, 4);
  transformer->denoise({the_model().conditioning, settings, latents}, progress,
                       [](const StepState& state, Stage&) {
                         if (state.step == 2) std::this_thread::sleep_for(std::chrono::milliseconds(1500));
                       });
  BOOST_CHECK(same_bits(latents, unbroken()));
}

BOOST_AUTO_TEST_CASE(latents_that_are_not_finite_are_every_ranks_failure) {
  Run run{.ranks = {.topology = {.guidance = 2}}, .guidance = 3e38};
  const std::string text = failure_of<Error>(run);
  check_contains(text, "latents are NaN or infinite after step");
  BOOST_CHECK_EQUAL(text.find("rank"), text.npos);
}

BOOST_AUTO_TEST_CASE(every_rank_has_its_log) {
  const ScratchFolder scratch;
  Run{.ranks = {.topology = {.guidance = 2, .ring = 2},
                .log_file = scratch / "run.ndjson",
                .facts = {{"topology", "guidance=2,ring=2"}}}}();
  auto names = scratch.names();
  std::ranges::sort(names);
  BOOST_CHECK(names == std::vector<std::string>(
                           {"run.ndjson", "run.rank1.ndjson", "run.rank2.ndjson", "run.rank3.ndjson"}));
  const auto run = trace::read_run({scratch.path()});
  BOOST_REQUIRE_EQUAL(run.size(), 4u);
  for (const auto& log : run) {
    std::map<std::string, int> of_step_2;
    for (const auto& event : log.events)
      if (event.kind == Event::Kind::collective && event.step == 2) ++of_step_2[*event.op];
    // Keys and values pass round in both layers; latents and prompts are gathered; all agree to go on.
    BOOST_CHECK(
        (of_step_2 == std::map<std::string, int>{{"shift", 4}, {"all_gather", 2}, {"all_reduce", 1}}));
  }
  check_contains(trace::to_text(trace::explain_run({scratch.path()})), "4 ranks");
}

BOOST_AUTO_TEST_CASE(norms_are_shared_along_tensor) {
  const ScratchFolder scratch;
  Run{.ranks = {.topology = {.tensor = 2}, .log_file = scratch / "run.ndjson"}}();
  for (const auto& log : trace::read_run({scratch.path()})) {
    std::map<std::string, int> of_step_2;
    for (const auto& event : log.events)
      if (event.kind == Event::Kind::collective && event.step == 2) ++of_step_2[*event.op];
    // After both attentions and the feed forward of two layers, for each prompt: every rank gets the sum of
    // its part, and all the normalised parts. No rank adds or normalises all tokens.
    BOOST_CHECK((of_step_2 ==
                 std::map<std::string, int>{{"reduce_scatter", 12}, {"all_gather", 12}, {"all_reduce", 1}}));
  }
}

/// Not run by itself: the test below runs it in a process of its own, which it must end.
BOOST_AUTO_TEST_CASE(child_whose_rank_hangs, *boost::unit_test::disabled()) {
  Run run{.ranks = {.topology = {.ulysses = 2}, .deadlines = {.factor = 0, .floor_seconds = 0.3}},
          .output = fs::path(std::getenv("STEPVIDEO_TEST_OUTPUT"))};
  run.before_step = [](int rank, int step) {
    if (rank == 1 && step == 3) std::this_thread::sleep_for(std::chrono::hours(1));
  };
  run();
}

BOOST_AUTO_TEST_CASE(a_rank_that_hangs_does_not_keep_the_process) {
  const ScratchFolder scratch;
  const auto begin = std::chrono::steady_clock::now();
  const fs::path self = fs::read_symlink("/proc/self/exe"), output = scratch / "l.safetensors";
  const int status =
      std::system(("STEPVIDEO_TEST_OUTPUT='" + output.string() + "' '" + self.string() +
                   "' --run_test=child_whose_rank_hangs >/dev/null 2>'" + (scratch / "err").string() + "'")
                      .c_str());
  BOOST_CHECK_EQUAL(WEXITSTATUS(status), 1);
  BOOST_CHECK_LT(seconds_since(begin), 10);
  check_contains(read_text(scratch / "err"), "stepvideo: rank 1 is late: all_reduce of ranks 0, 1 in step 3");
  BOOST_CHECK_EQUAL(read_step_file(step_file_of(output)).steps_done, 2);
  BOOST_CHECK(same_bits(Run{.output = output}(), unbroken()));
}
