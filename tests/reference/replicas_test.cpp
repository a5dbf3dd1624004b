// How jobs are dealt to replicas, and what becomes of those that fail.
#define BOOST_TEST_MODULE replicas
#include "pipeline/replicas.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include <boost/test/unit_test.hpp>
#include <omp.h>

#include <stepvideo/core/error.hpp>

#include "interrupt.hpp"

using namespace stepvideo;
using pipeline::deal;

namespace {

bool is_of_job(const std::exception& error) {
  return dynamic_cast<const RequestError*>(&error) != nullptr;
}
void work_a_little() {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_job_is_done_once_by_replicas_that_divide_the_threads) {
  omp_set_num_threads(6);
  std::array<std::atomic<int>, 40> times{};
  std::array<std::atomic<int>, 3> of_replica{};
  std::atomic<bool> has_two_threads = true;
  const auto failures = deal(
      40, 3,
      [&](int replica, std::size_t job) {
        ++times[job], ++of_replica[std::size_t(replica)];
        if (omp_get_max_threads() != 2) has_two_threads = false;
        work_a_little();
      },
      is_of_job);
  for (const auto& count : times) BOOST_CHECK_EQUAL(count, 1);
  for (const auto& count : of_replica) BOOST_CHECK_GT(count, 0);
  for (const auto& failure : failures) BOOST_CHECK(!failure);
  BOOST_CHECK(has_two_threads);
  BOOST_CHECK_EQUAL(omp_get_max_threads(), 6);
}

BOOST_AUTO_TEST_CASE(jobs_of_a_replica_that_fails_go_back_to_the_others) {
  std::array<std::atomic<int>, 20> done{};
  std::atomic<int> failed = 0;
  const auto failures = deal(
      20, 3,
      [&](int replica, std::size_t job) {
        work_a_little();
        if (replica == 1) {
          ++failed;
          throw std::bad_alloc();
        }
        ++done[job];
      },
      is_of_job);
  for (const auto& count : done) BOOST_CHECK_EQUAL(count, 1);
  for (const auto& failure : failures) BOOST_CHECK(!failure);
  BOOST_CHECK_EQUAL(failed, 2);  // then it gets no more
}

BOOST_AUTO_TEST_CASE(a_job_that_fails_everywhere_fails_alone) {
  std::atomic<int> tries_of_3 = 0, tries_of_4 = 0, done = 0;
  const auto failures = deal(
      8, 2,
      [&](int, std::size_t job) {
        work_a_little();
        if (job == 3 && ++tries_of_3 > 0) throw Error("no memory");
        if (job == 4 && ++tries_of_4 > 0) throw RequestError("a wrong prompt");
        ++done;
      },
      is_of_job);
  BOOST_CHECK_EQUAL(tries_of_3, 2);
  BOOST_CHECK_EQUAL(tries_of_4, 1);
  BOOST_CHECK_EQUAL(done, 6);
  for (std::size_t job = 0; job < 8; ++job) BOOST_CHECK_EQUAL(failures[job] != nullptr, job == 3 || job == 4);
}

BOOST_AUTO_TEST_CASE(where_every_replica_fails_every_job_does) {
  const auto failures = deal(
      9, 2, [](int, std::size_t) { throw Error("no memory"); }, is_of_job);
  for (const auto& failure : failures) BOOST_CHECK(failure);
}

BOOST_AUTO_TEST_CASE(an_interrupt_stops_the_dealing) {
  std::atomic<int> begun = 0;
  BOOST_CHECK_THROW(deal(
                        1000, 2,
                        [&](int, std::size_t) {
                          work_a_little();
                          if (++begun == 5) throw Interrupted("interrupted");
                        },
                        is_of_job),
                    Interrupted);
  BOOST_CHECK_LT(begun, 10);
}
