// Probing the machine that the tests run on, and work that crashes or hangs.
#define BOOST_TEST_MODULE doctor_probe
#include <chrono>
#include <csignal>
#include <cstdlib>

#include <boost/test/unit_test.hpp>
#include <unistd.h>

#include "doctor/isolated.hpp"
#include "doctor/probe.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::doctor;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(isolated_work_hands_its_result_back) {
  const std::string long_text(1'000'000, 'x');
  IsolatedWork work([&] { return io::Json{{"text", long_text}}; }, 10s);
  const auto [value, problem] = work.await();
  BOOST_CHECK_EQUAL(problem, "");
  BOOST_CHECK(value.at("text") == long_text);
}
BOOST_AUTO_TEST_CASE(a_crash_is_a_fact) {
  IsolatedWork work(
      []() -> io::Json {
        signal(SIGFPE, SIG_DFL);
        raise(SIGFPE);
        return {};
      },
      10s);
  const auto result = work.await();
  BOOST_CHECK_MESSAGE(result.problem.starts_with("died of signal 8"), result.problem);
}
BOOST_AUTO_TEST_CASE(a_hang_ends_at_its_deadline) {
  const auto start = std::chrono::steady_clock::now();
  IsolatedWork work(
      []() -> io::Json {
        sleep(60);
        return {};
      },
      200ms);
  BOOST_CHECK_EQUAL(work.await().problem, "did not answer within 0.2 s");
  BOOST_CHECK(std::chrono::steady_clock::now() - start < 5s);
}
BOOST_AUTO_TEST_CASE(an_exception_or_an_exit_is_no_answer) {
  IsolatedWork throws([]() -> io::Json { throw Error("no"); }, 10s);
  IsolatedWork leaves([]() -> io::Json { _exit(0); }, 10s);
  BOOST_CHECK_EQUAL(throws.await().problem, "gave no answer");
  BOOST_CHECK_EQUAL(leaves.await().problem, "gave no answer");
}
BOOST_AUTO_TEST_CASE(this_machine_can_be_probed_and_its_facts_written) {
  const testing::ScratchFolder folder;
  setenv("NCCL_BUFFSIZE", "123", 1);
  setenv("NVIDIA_API_KEY", "secret", 1);
  const auto facts = probe_machine(folder.path(), true);
  BOOST_CHECK(facts.host.cores > 0);
  BOOST_CHECK(facts.host.memory_bytes >= facts.host.available_bytes && facts.host.available_bytes > 0);
  BOOST_CHECK(facts.host.open_files > 0 && facts.host.output_writable);
  BOOST_CHECK_EQUAL(facts.host.output_folder, folder.path().string());
  BOOST_CHECK_EQUAL(facts.environment.at("NCCL_BUFFSIZE"), "123");
  BOOST_CHECK(!facts.environment.contains("NVIDIA_API_KEY"));
  BOOST_CHECK_EQUAL(facts.libraries.size(), 3u);
  for (const auto& library : facts.libraries) BOOST_CHECK(library.version || library.problem);
  BOOST_CHECK(facts.driver.version || !facts.driver.problems.empty());
  const auto json = to_json(facts);
  BOOST_CHECK(to_json(machine_facts(json, "this")) == json);
}
BOOST_AUTO_TEST_CASE(an_output_in_a_folder_that_is_not_there_is_a_fact) {
  const testing::ScratchFolder folder;
  BOOST_CHECK(!probe_host(folder / "gone/video.mp4").output_free_bytes);
  BOOST_CHECK(probe_host(folder / "video.mp4").output_free_bytes);
}
