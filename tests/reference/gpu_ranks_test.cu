// Steps of guidance on ranks that have GPUs, or share one: the same latents, and what happens when one of
// them fails. Runs that end the process are runs of this program again.
#define BOOST_TEST_MODULE gpu_ranks
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <sys/wait.h>

#include "pipeline/denoiser.hpp"
#include "place/accelerator.cuh"
#include "place/place.hpp"
#include "reference/small_model.hpp"
#include "support/busy.cuh"
#include "support/compare.hpp"
#include "support/device.cuh"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::pipeline;
using testing::NeedsDevice, testing::ScratchFolder, testing::read_text;

BOOST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

constexpr LatentShape shape{3, 8, 8};  // eight times 24 tokens
constexpr int steps = 3;

const testing::SmallModel& the_model() {
  static const testing::SmallModel model;
  return model;
}

struct Run {
  Topology gpus = {};
  Precision precision = Precision::bf16;
  Deadlines deadlines = {};
  std::function<void(const place::Place&, int rank, int step)> before_step = {};

  Latents operator()() const {
    const int ranks = static_cast<int>(gpus.ranks());
    const place::Place place =
        place::find_places({.kind = place::Choice::Kind::cuda}, {.ranks = ranks, .shares_gpus = true});
    const SamplerSettings settings{.steps = steps, .cfg_scale = 9, .time_shift = 13};
    Latents latents = noise_latents(7, shape, 4);
    Progress progress({.is_quiet = true});
    const auto transformer =
        Denoiser({the_model().folder.path(), 11})
            .load(place, {precision}, progress, {.topology = gpus, .on_gpus = true, .deadlines = deadlines});
    Integration run{.conditioning = the_model().conditioning, .settings = settings, .latents = latents};
    if (before_step)
      run.before_step = [&](int rank, int step) { before_step(place.of_rank(rank), rank, step); };
    transformer->denoise(run, progress);
    return latents;
  }
};

bool same_bits(const Latents& a, const Latents& b) {
  return a.size() == b.size() && std::memcmp(a.values.data(), b.values.data(), a.values.size_bytes()) == 0;
}

/// What a child of this program does: its rank 1 fails in step 3.
void fail(const std::string& how) {
  Run run{.gpus = {.ulysses = 2}, .deadlines = {.factor = 0, .floor_seconds = 0.5}};
  run.before_step = [&](const place::Place& place, int rank, int step) {
    if (rank != 1 || step != 3) return;
    if (how == "stall") std::this_thread::sleep_for(std::chrono::seconds(20));
    if (how == "busy") testing::keep_busy(place.accelerator().compute(), 20'000'000'000);
  };
  run();
}

struct Ending {
  int status = 0;
  double seconds = 0;
  std::string errors;
};
Ending child_that(const std::string& how) {
  const ScratchFolder scratch;
  const auto begin = std::chrono::steady_clock::now();
  const std::string command = std::string(boost::unit_test::framework::master_test_suite().argv[0]) +
                              " --run_test=a_rank_that_keeps_the_others_waiting_ends_the_process_by_its_name"
                              " --catch_system_errors=no -- " +
                              how + " 2>" + (scratch / "errors").string() + " >/dev/null";
  const int status = std::system(command.c_str());
  return {WEXITSTATUS(status),
          std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
          read_text(scratch / "errors")};
}

}  // namespace

BOOST_AUTO_TEST_CASE(ranks_along_guidance_and_ulysses_make_the_bits_of_one) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const Latents one = Run{.precision = precision}();
    for (const Topology gpus :
         {Topology{.guidance = 2}, Topology{.ulysses = 2}, Topology{.ulysses = 8},
          Topology{.guidance = 2, .ulysses = 2}, Topology{.ulysses = 3, .sharding = Sharding::uneven},
          Topology{.ulysses = 5, .sharding = Sharding::uneven},
          Topology{.guidance = 2, .ulysses = 3, .sharding = Sharding::uneven}})
      BOOST_CHECK_MESSAGE(same_bits(Run{.gpus = gpus, .precision = precision}(), one),
                          to_string(gpus) << " in " << to_string(precision));
  }
}

BOOST_AUTO_TEST_CASE(ranks_along_tensor_and_ring_differ_by_rounding) {
  const Latents one = Run{.precision = Precision::fp32}();
  for (const Topology gpus : {Topology{.tensor = 2}, Topology{.ring = 2}, Topology{.ring = 3},
                              Topology{.tensor = 2, .ulysses = 2, .ring = 2},
                              Topology{.tensor = 7, .sharding = Sharding::uneven}}) {
    const Run run{.gpus = gpus, .precision = Precision::fp32};
    const Latents sharded = run();
    STEPVIDEO_CHECK_CLOSE(sharded.values, one.values, testing::fp32_bound);
    BOOST_CHECK_MESSAGE(same_bits(sharded, run()), to_string(gpus) << " gives other bits the second time");
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_throws_is_named_and_takes_the_others_out) {
  for (int rank = 0; rank < 3; ++rank) {
    Run run{.gpus = {.ulysses = 3, .sharding = Sharding::uneven}};
    run.before_step = [&](const place::Place&, int of_rank, int step) {
      if (of_rank == rank && step == 2) throw Error("the disk is full");
    };
    const auto begin = std::chrono::steady_clock::now();
    BOOST_CHECK_EXCEPTION(run(), Error, [&](const Error& error) {
      return std::string(error.what()) == "rank " + std::to_string(rank) + ": the disk is full";
    });
    BOOST_CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(10));
  }
}

BOOST_AUTO_TEST_CASE(a_rank_that_keeps_the_others_waiting_ends_the_process_by_its_name) {
  const auto& suite = boost::unit_test::framework::master_test_suite();
  if (suite.argc > 1) return fail(suite.argv[1]);
  for (const char* const how : {"stall", "busy"}) {
    const Ending ending = child_that(how);
    BOOST_TEST_MESSAGE(how << ": " << ending.seconds << " s, " << ending.errors);
    BOOST_CHECK_EQUAL(ending.status, 1);
    BOOST_CHECK_LT(ending.seconds, 15);  // with the start of the program and of its GPU
    BOOST_CHECK_MESSAGE(ending.errors.find("rank 1 is late") != std::string::npos, ending.errors);
  }
}

BOOST_AUTO_TEST_CASE(fifty_starts_and_stops_leave_nothing_behind) {
  const auto free_bytes = [] {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total));
    return free;
  };
  const Run run{.gpus = {.ulysses = 2}};
  run();
  const std::size_t before = free_bytes();
  for (int start = 0; start < 50; ++start) run();
  const std::size_t after = free_bytes();
  BOOST_CHECK_MESSAGE(after + (std::size_t{64} << 20) >= before,
                      "of " << before << " bytes " << after << " are free");
}
