// Ranks that are threads, each with a GPU: as many as there are, or one that they share.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include <stepvideo/comm/gpu_communicator.cuh>
#include <stepvideo/comm/peer_wire.cuh>
#include <stepvideo/core/gpu.cuh>

namespace stepvideo::testing {

struct GpuRank {
  const Gpu& gpu;
  ThreadCommunicator end;
  WordsOver<ThreadCommunicator> words{end};
  PeerWire wire{end};
  GpuCommunicator communicator{words, wire, gpu.compute()};

  GpuRank(const Gpu& on, const ThreadCommunicator& of) : gpu(on), end(of) {}
  Device device() const { return gpu.compute(); }
};

/// Calls `work(GpuRank&)` on a thread for each rank; throws what the first rank that failed threw.
template <class Work>
void on_gpu_ranks(int ranks, Work&& work) {
  int count = 0;
  check(cudaGetDeviceCount(&count));
  std::vector<std::unique_ptr<Gpu>> gpus;
  for (int rank = 0; rank < ranks; ++rank) gpus.push_back(std::make_unique<Gpu>(rank % count));
  for (const auto& gpu : gpus)
    for (const auto& other : gpus) gpu->reach(*other);
  run_on_threads(ranks, [&](ThreadCommunicator& communicator) {
    const Gpu& gpu = *gpus[std::size_t(communicator.rank())];
    gpu.bind();
    GpuRank rank(gpu, communicator);
    work(rank);
    // Others may still read what this rank's buffers held.
    rank.communicator.settle(rank.device());
  });
}

}  // namespace stepvideo::testing
