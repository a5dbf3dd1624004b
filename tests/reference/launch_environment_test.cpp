// What launchers say to the processes that they start.
#define BOOST_TEST_MODULE launch_environment
#include <map>

#include "launch/environment.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::launch;
using testing::check_refused;

namespace {

using Variables = std::map<std::string, std::string>;

Launched by(const Variables& variables) {
  return launched_by([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

/// Some variables with others in their place; an empty value takes one away.
Variables with(Variables variables, const Variables& others) {
  for (const auto& [name, value] : others) variables[name] = value;
  std::erase_if(variables, [](const auto& variable) { return variable.second.empty(); });
  return variables;
}

const Variables torchrun{{"RANK", "5"},
                         {"WORLD_SIZE", "8"},
                         {"LOCAL_RANK", "1"},
                         {"LOCAL_WORLD_SIZE", "4"},
                         {"MASTER_ADDR", "node1"},
                         {"MASTER_PORT", "29500"},
                         {"TORCHELASTIC_RUN_ID", "7"}};
const Variables srun{{"SLURM_JOB_ID", "4711"},
                     {"SLURM_STEP_ID", "0"},
                     {"SLURM_NTASKS", "7"},
                     {"SLURM_STEP_NUM_TASKS", "7"},
                     {"SLURM_PROCID", "5"},
                     {"SLURM_LOCALID", "1"},
                     {"SLURM_NODEID", "1"},
                     {"SLURM_STEP_NODELIST", "gpu[08-09,12],big1"},
                     {"SLURM_STEP_TASKS_PER_NODE", "4,3"}};

}  // namespace

BOOST_AUTO_TEST_CASE(a_process_without_a_launcher_is_a_run) {
  BOOST_CHECK_EQUAL(by({}).ranks, 1);
  BOOST_CHECK_EQUAL(by({{"RANK", "3"}}).ranks, 1);
  BOOST_CHECK_EQUAL(by({{"WORLD_SIZE", "1"}, {"RANK", "0"}}).ranks, 1);
  // The script of a batch job is no step of it.
  BOOST_CHECK_EQUAL(by({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_NODELIST", "node1"}}).ranks, 1);
  BOOST_CHECK_EQUAL(by({{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}}).ranks, 1);
}

BOOST_AUTO_TEST_CASE(torchrun_says_who_a_process_is_and_where_rank_0_is) {
  const Launched launched = by(torchrun);
  BOOST_CHECK_EQUAL(launched.ranks, 8);
  BOOST_CHECK_EQUAL(launched.here, 4);
  BOOST_CHECK_EQUAL(launched.local, 1);
  BOOST_CHECK_EQUAL(by(with(torchrun, {{"LOCAL_RANK", ""}})).local, 1);  // 5 of fours
  BOOST_REQUIRE(launched.meeting);
  BOOST_CHECK_EQUAL(launched.meeting->rank, 5);
  BOOST_CHECK_EQUAL(launched.meeting->ranks, 8);
  BOOST_CHECK_EQUAL(launched.meeting->host, "node1");
  BOOST_CHECK_EQUAL(launched.meeting->first_port, 29500);
  BOOST_CHECK(!launched.meeting->is_on_one_host);
  BOOST_CHECK(launched.meeting->patience == std::chrono::seconds(60));
  BOOST_CHECK(by(with(torchrun, {{"STEPVIDEO_LAUNCH_SECONDS", "5"}})).meeting->patience ==
              std::chrono::seconds(5));
  // Where torchrun listens itself.
  BOOST_CHECK_EQUAL(by(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}})).meeting->first_port,
                    29501);
}

BOOST_AUTO_TEST_CASE(ranks_of_one_host_meet_where_no_other_host_can_come) {
  const Launched launched = by(with(torchrun, {{"LOCAL_WORLD_SIZE", "8"}}));
  BOOST_CHECK(launched.meeting->is_on_one_host);
  BOOST_CHECK_EQUAL(launched.meeting->host, "127.0.0.1");
}

BOOST_AUTO_TEST_CASE(srun_says_who_a_process_is_and_where_rank_0_is) {
  const Launched launched = by(srun);
  BOOST_CHECK_EQUAL(launched.ranks, 7);
  BOOST_CHECK_EQUAL(launched.here, 3);
  BOOST_CHECK_EQUAL(launched.local, 1);
  BOOST_REQUIRE(launched.meeting);
  BOOST_CHECK_EQUAL(launched.meeting->rank, 5);
  BOOST_CHECK_EQUAL(launched.meeting->host, "gpu08");
  const int port = launched.meeting->first_port;
  BOOST_CHECK(port >= 20000 && port < 28000);
  BOOST_CHECK_NE(by(with(srun, {{"SLURM_STEP_ID", "1"}})).meeting->first_port, port);
  const auto host_of = [](const std::string& list) {
    return by(with(srun, {{"SLURM_STEP_NODELIST", list}})).meeting->host;
  };
  BOOST_CHECK_EQUAL(host_of("node1"), "node1");
  BOOST_CHECK_EQUAL(host_of("node1,node2"), "node1");
  BOOST_CHECK_EQUAL(host_of("a[3]"), "a3");
  BOOST_CHECK_EQUAL(host_of("login,a[3-4]"), "login");
  const auto here = [](const std::string& tasks, const std::string& node) {
    return by(with(srun, {{"SLURM_STEP_TASKS_PER_NODE", tasks}, {"SLURM_NODEID", node}})).here;
  };
  BOOST_CHECK_EQUAL(here("2(x3),1", "2"), 2);
  BOOST_CHECK_EQUAL(here("2(x3),1", "3"), 1);
  BOOST_CHECK_EQUAL(here("7", "0"), 7);
  BOOST_CHECK(
      by(with(srun, {{"SLURM_STEP_TASKS_PER_NODE", "7"}, {"SLURM_NODEID", "0"}})).meeting->is_on_one_host);
  const auto chosen = by(with(srun, {{"MASTER_ADDR", "10.0.0.1"}, {"MASTER_PORT", "3000"}}));
  BOOST_CHECK_EQUAL(chosen.meeting->host, "10.0.0.1");
  BOOST_CHECK_EQUAL(chosen.meeting->first_port, 3000);
}

BOOST_AUTO_TEST_CASE(mpirun_comes_before_what_it_was_started_under) {
  const Launched launched = by(
      with(srun, {{"OMPI_COMM_WORLD_SIZE", "6"}, {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}, {"WORLD_SIZE", "3"}}));
  BOOST_CHECK_EQUAL(launched.ranks, 6);
  BOOST_CHECK_EQUAL(launched.here, 2);
  BOOST_CHECK(!launched.meeting);
  // As does torchrun in a step of one task a node.
  BOOST_CHECK_EQUAL(by(with(srun, torchrun)).ranks, 8);
  BOOST_CHECK_EQUAL(by({{"PMI_SIZE", "3"}}).ranks, 3);
}

BOOST_AUTO_TEST_CASE(processes_of_other_launches_have_other_tokens) {
  const JobToken token = by(torchrun).meeting->token;
  BOOST_CHECK(by(with(torchrun, {{"RANK", "0"}, {"LOCAL_RANK", "0"}})).meeting->token == token);
  BOOST_CHECK(by(with(torchrun, {{"TORCHELASTIC_RESTART_COUNT", "1"}})).meeting->token != token);
  const JobToken secret = by(with(torchrun, {{"STEPVIDEO_TOKEN", "s3"}})).meeting->token;
  BOOST_CHECK(secret != token);
  BOOST_CHECK(by(with(torchrun, {{"STEPVIDEO_TOKEN", "s4"}})).meeting->token != secret);
}

BOOST_AUTO_TEST_CASE(variables_that_are_missing_or_wrong_are_named) {
  const auto refused = [](const Variables& variables, const std::vector<std::string>& phrases) {
    check_refused([&] { by(variables); }, phrases);
  };
  refused(with(torchrun, {{"RANK", ""}}), {"RANK is not set for this process"});
  refused(with(torchrun, {{"RANK", "8"}}), {"RANK is \"8\"", "0 to 7 works"});
  refused(with(torchrun, {{"RANK", "1x"}}), {"RANK is \"1x\""});
  refused(with(torchrun, {{"WORLD_SIZE", "many"}}), {"WORLD_SIZE is \"many\"", "1 to 65536"});
  refused(with(torchrun, {{"MASTER_ADDR", ""}}), {"MASTER_ADDR is not set", "host of rank 0"});
  refused(with(torchrun, {{"MASTER_PORT", "99999"}}), {"MASTER_PORT is \"99999\""});
  refused(with(torchrun, {{"STEPVIDEO_LAUNCH_SECONDS", "0"}}), {"STEPVIDEO_LAUNCH_SECONDS is \"0\""});
  refused(with(srun, {{"SLURM_PROCID", ""}}), {"SLURM_PROCID is not set"});
  refused(with(srun, {{"SLURM_STEP_NODELIST", ""}}), {"SLURM_STEP_NODELIST is not set", "MASTER_ADDR"});
}
