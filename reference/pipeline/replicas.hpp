// Jobs dealt to groups of ranks, each with a transformer of its own.
#pragma once
#include <cstddef>
#include <exception>
#include <functional>
#include <vector>

namespace stepvideo::pipeline {

/// Does `jobs` pieces of work on `replicas` threads, which divide this one's OpenMP threads; replica 0 is the
/// calling thread. Each calls `work(replica, job)` for the next job that is open. Where that throws, the
/// failure may be the replica's: another gets the job, and a replica that failed twice running gets no more.
/// Returns by job what it failed with, where it failed on two replicas, or where none was left. Failures for
/// which `is_of_job` is true are the job's at once. An Interrupted stops the dealing and is thrown when all
/// have stopped.
std::vector<std::exception_ptr> deal(std::size_t jobs, int replicas,
                                     const std::function<void(int replica, std::size_t job)>& work,
                                     const std::function<bool(const std::exception&)>& is_of_job);

}  // namespace stepvideo::pipeline
