// Ranks on two hosts: two network namespaces with a cable between them, where the machine allows it.
#define BOOST_TEST_MODULE two_hosts
#include <cstdlib>
#include <iostream>

#include "reference/process_runs.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace {

/// What makes this shell's host, 10.77.0.1, and another, in which `$there` runs a command.
const std::string two_hosts = R"(set -e
mount -t tmpfs none /run
ip netns add other
ip link add here type veth peer name there netns other
there="nsenter --net=/run/netns/other"
ip address add 10.77.0.1/24 dev here
$there ip address add 10.77.0.2/24 dev there
for link in lo here; do ip link set $link up; done
for link in lo there; do $there ip link set $link up; done
set +e
)";

int run_on_two_hosts(const std::string& commands) {
  const ScratchFolder folder;
  const auto script = folder.write("script", two_hosts + commands);
  return exit_code_of(
      std::system(("exec unshare --map-root-user --net --mount sh '" + script.string() + "'").c_str()));
}

struct SkipWhereNamespacesAreNotAllowed {
  SkipWhereNamespacesAreNotAllowed() {
    const int code = run_on_two_hosts("exit 9");
    if (code == 9) return;
    std::cout << "skipped: this machine allows no network namespaces of one's own" << std::endl;
    std::exit(77);
  }
};
BOOST_TEST_GLOBAL_FIXTURE(SkipWhereNamespacesAreNotAllowed);

/// Starts four ranks, two on each host, does `meanwhile`, and writes every rank's exit code to the file
/// `codes`.
std::string ranks_of_two_hosts(const ScratchFolder& folder, const StringList& arguments,
                               const std::string& meanwhile = "") {
  std::string line = "'" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  std::string commands;
  for (int rank = 0; rank < 4; ++rank)
    commands +=
        (rank < 2 ? "" : "$there ") + std::string("env RANK=") + std::to_string(rank) +
        " WORLD_SIZE=4 LOCAL_WORLD_SIZE=2 MASTER_ADDR=10.77.0.1 MASTER_PORT=29500 OMP_NUM_THREADS=1 " + line +
        " 2>>'" + (folder / "err").string() + "' & p" + std::to_string(rank) + "=$!\n";
  commands += meanwhile;
  for (int rank = 0; rank < 4; ++rank)
    commands += "wait $p" + std::to_string(rank) + "; echo $? >>'" + (folder / "codes").string() + "'\n";
  return commands;
}

StringList on_four_ranks(const ScratchFolder& folder, int steps) {
  return denoise_small(folder / "l.safetensors", steps,
                       {"--topology", "guidance=2,ulysses=2", "--deadline-floor", "0.5", "--log-file",
                        (folder / "run.ndjson").string()});
}

}  // namespace

BOOST_AUTO_TEST_CASE(ranks_of_two_hosts_make_the_latents_of_one) {
  const ScratchFolder folder;
  run_on_two_hosts(ranks_of_two_hosts(folder, on_four_ranks(folder, 4)));
  BOOST_CHECK_EQUAL(read_text(folder / "codes"), "0\n0\n0\n0\n");
  BOOST_CHECK_EQUAL(read_text(folder / "err"), "");
  BOOST_CHECK(read_text(folder / "l.safetensors") == on_one_rank(4));
}

BOOST_AUTO_TEST_CASE(hosts_whose_cable_is_cut_end_and_the_run_goes_on) {
  const ScratchFolder folder;
  constexpr int steps = 40;
  run_on_two_hosts(ranks_of_two_hosts(
      folder, on_four_ranks(folder, steps),
      "while ! grep -q '\"event\":\"step\",\"step\":3,' '" + (folder / "run.rank3.ndjson").string() +
          "' 2>/dev/null; do sleep 0.02; done; ip link set here down; date +%s >'" +
          (folder / "cut").string() + "'\n"));
  const auto seconds =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
      std::stod(read_text(folder / "cut"));
  BOOST_CHECK_LT(seconds, 11);  // the shell says whole seconds
  BOOST_CHECK_EQUAL(read_text(folder / "codes"), "1\n1\n1\n1\n");
  check_contains(read_text(folder / "err"), "stepvideo: rank ");
  const auto resumed =
      run_program(denoise_small(folder / "l.safetensors", steps, {"--resume"}), "OMP_NUM_THREADS=1");
  BOOST_CHECK_MESSAGE(resumed.exit_code == 0, resumed.errors);
  BOOST_CHECK(read_text(folder / "l.safetensors") == on_one_rank(steps));
}

BOOST_AUTO_TEST_CASE(a_name_that_means_another_address_on_rank_0s_host_is_refused) {
  const ScratchFolder folder;
  const auto result =
      run_program(denoise_small(folder / "l.safetensors", 4),
                  "RANK=0 WORLD_SIZE=4 LOCAL_WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=29500");
  BOOST_CHECK_EQUAL(result.exit_code, 1);
  check_contains(result.errors,
                 "where ranks of other hosts cannot reach it; MASTER_ADDR must be its address for all");
}
