#define BOOST_TEST_MODULE gpu_attention
#include <mutex>
#include <vector>

#include <stepvideo/comm/attention_across_ranks.hpp>
#include <stepvideo/kernels/attention/attention.cuh>
#include <stepvideo/kernels/attention/merge.cuh>
#include <stepvideo/kernels/elementwise/convert.cuh>

#include "comm/attention_across_ranks_cases.hpp"
#include "comm/gpu_ranks.cuh"
#include "support/device.cuh"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// On ranks that have GPUs, or share one. Each carries its share there and back.
const auto on_gpus = []<class T>(const AttentionProblem<T>& problem, Mesh mesh, long long granule) {
  const auto& e = problem.extents;
  const HeadShape heads{.count = static_cast<int>(e.heads), .dim = static_cast<int>(e.dim)};
  std::mutex mutex;
  on_gpu_ranks(mesh.ranks(), [&](GpuRank& rank) {
    const Device device = rank.device();
    const AttentionAcrossRanks<T, GpuCommunicator> attend(rank.communicator, mesh, heads, granule);
    const Shard tokens = attend.tokens(e.keys), own = mesh.projected_heads(heads, rank.communicator.rank());
    const auto dense = [&](T* data) {
      return HeadsView<T>::dense(data, e.batch, tokens.count, own.count, e.dim);
    };
    const auto carry = [&](const HeadsView<T>& whole) {
      const Buffer<T> share(e.batch * tokens.count * own.count * e.dim);
      convert(host, HeadsView<const T>(share_of(whole, tokens, own)), dense(share.data()));
      return to_device(share, device);
    };
    const auto queries = carry(problem.queries.view), keys = carry(problem.keys.view),
               values = carry(problem.values.view);
    const Buffer<T, Device> out(device, queries.size());
    const Buffer<std::byte, Device> workspace(device,
                                              static_cast<index_t>(attend.workspace_bytes(e.batch, e.keys)));
    // What is read before it is written shows.
    check(cudaMemsetAsync(out.data(), 0xFF, out.size_bytes(), device.stream));
    if (workspace.size() > 0)
      check(cudaMemsetAsync(workspace.data(), 0xFF, workspace.size_bytes(), device.stream));
    attend(device, dense(queries.data()), dense(keys.data()), dense(values.data()), dense(out.data()), e.keys,
           Workspace(workspace));
    rank.communicator.settle(device);
    const auto result = to_host(out, device);
    const std::lock_guard lock(mutex);
    convert(host, HeadsView<const T>(dense(result.data())), share_of(problem.out.view, tokens, own));
  });
};

}  // namespace

BOOST_AUTO_TEST_CASE(every_topology_up_to_8_ranks_attends_as_one_rank_does) {
  sharded_is_unsharded<bf16>(on_gpus, every_topology(8, 8), 1, 403, 8, 128);
  sharded_is_unsharded<float>(on_gpus, every_topology(4, 4), 2, 67, 4, 24);
}

BOOST_AUTO_TEST_CASE(uneven_3_5_and_7_share_heads_and_tokens_that_they_do_not_divide) {
  std::vector<Topology> topologies;
  for (const int ranks : {3, 5, 7})
    for_each_topology(ranks, [&](Topology gpus) {
      gpus.sharding = Sharding::uneven;
      topologies.push_back(gpus);
    });
  topologies.push_back({.tensor = 3, .ulysses = 2, .ring = 2, .sharding = Sharding::uneven});
  sharded_is_unsharded<bf16>(on_gpus, topologies, 2, 611, 11, 64);
  sharded_is_unsharded<bf16>(on_gpus, topologies, 1, 211, 11, 32);
}
