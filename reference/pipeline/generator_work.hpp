// What the stages of a generator have in common.
#pragma once
#include <cstddef>
#include <vector>

#include "pipeline/generator.hpp"

namespace stepvideo::pipeline {

/// Runs `work` and tells the manifests of `jobs` what its stages took.
template <class Work>
void tell_cost(const std::vector<Job*>& jobs, const RunOptions& options, Progress& progress, Work&& work) {
  const std::size_t begin = progress.stages().size();
  work();
  if (options.tells_cost)
    for (Job* const job : jobs) add_stages(job->manifest, progress, begin);
}

/// Of jobs among all.
inline std::vector<std::size_t> numbers_of(const std::vector<Job*>& some, const std::vector<Job>& all) {
  std::vector<std::size_t> numbers;
  for (const Job* const job : some) numbers.push_back(static_cast<std::size_t>(job - all.data()));
  return numbers;
}

}  // namespace stepvideo::pipeline
