#include "pipeline/replicas.hpp"

#include <algorithm>
#include <thread>

#include <omp.h>

#include <stepvideo/comm/mesh.hpp>

#include "interrupt.hpp"
#include "pipeline/dealer.hpp"

namespace stepvideo::pipeline {

std::vector<std::exception_ptr> deal(std::size_t jobs, int replicas,
                                     const std::function<void(int replica, std::size_t job)>& work,
                                     const std::function<bool(const std::exception&)>& is_of_job) {
  Dealer dealer(jobs, replicas);
  const int threads = omp_get_max_threads();
  const auto run = [&](int replica) {
    omp_set_num_threads(static_cast<int>(shard_of(std::max(threads, replicas), replicas, replica).count));
    while (const auto card = dealer.next(replica)) {
      try {
        work(replica, card->job);
        dealer.done(replica);
      } catch (const Interrupted&) {
        return dealer.interrupted(std::current_exception());
      } catch (const std::exception& error) {
        if (!dealer.failed(*card, replica, std::current_exception(), is_of_job(error))) return;
      }
    }
  };
  {
    std::vector<std::jthread> others;
    for (int replica = 1; replica < replicas; ++replica) others.emplace_back(run, replica);
    run(0);
  }
  omp_set_num_threads(threads);
  return dealer.failures();
}

}  // namespace stepvideo::pipeline
