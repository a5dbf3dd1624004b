#define BOOST_TEST_MODULE gpu_communicator
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <stepvideo/comm/gpu_communicator.cuh>
#include <stepvideo/comm/peer_wire.cuh>
#include <stepvideo/core/gpu.cuh>

#include "comm/communicator_cases.hpp"
#include "comm/gpu_ranks.cuh"
#include "support/busy.cuh"
#include "support/device.cuh"

using namespace stepvideo;
using namespace stepvideo::testing;

BOOST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

/// Collectives of the host's memory by way of the GPU's: the cases of every communicator run over it.
class ByWayOfGpu {
 public:
  using ExecutionType = Host;

  explicit ByWayOfGpu(GpuRank& rank) : rank_(rank) {}
  int rank() const { return rank_.communicator.rank(); }
  int ranks() const { return rank_.communicator.ranks(); }

  template <Summable T>
  void all_reduce(Host, const Group& group, VectorView<T> values) {
    const auto at_values = carry(VectorView<const T>(values));
    rank_.communicator.all_reduce(rank_.device(), group, at_values.vector());
    fetch(at_values, values);
  }
  template <Movable T>
  void all_gather(Host, const Group& group, std::type_identity_t<VectorView<const T>> mine, Counts counts,
                  VectorView<T> all) {
    const auto at_all = carry(VectorView<const T>(all));
    // In place where the host's is.
    if (mine.data >= all.data && mine.data < all.data + all.size) {
      rank_.communicator.all_gather(rank_.device(), group,
                                    VectorView<const T>{at_all.data() + (mine.data - all.data), mine.size},
                                    counts, at_all.vector());
    } else {
      const auto at_mine = carry(mine);
      rank_.communicator.all_gather(rank_.device(), group, at_mine.vector(), counts, at_all.vector());
    }
    fetch(at_all, all);
  }
  template <Summable T>
  void reduce_scatter(Host, const Group& group, std::type_identity_t<VectorView<const T>> all, Counts counts,
                      VectorView<T> mine) {
    const auto at_all = carry(all), at_mine = carry(VectorView<const T>(mine));
    rank_.communicator.reduce_scatter(rank_.device(), group, at_all.vector(), counts, at_mine.vector());
    fetch(at_mine, mine);
  }
  template <Movable T>
  void all_to_all(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
                  Counts send_counts, VectorView<T> receive, Counts receive_counts) {
    const auto at_send = carry(send), at_receive = carry(VectorView<const T>(receive));
    rank_.communicator.all_to_all(rank_.device(), group, at_send.vector(), send_counts, at_receive.vector(),
                                  receive_counts);
    fetch(at_receive, receive);
  }
  template <Movable T>
  void shift(Host, const Group& group, std::type_identity_t<VectorView<const T>> send,
             VectorView<T> receive) {
    const auto at_send = carry(send), at_receive = carry(VectorView<const T>(receive));
    rank_.communicator.shift(rank_.device(), group, at_send.vector(), at_receive.vector());
    fetch(at_receive, receive);
  }
  template <Movable T>
  void broadcast(Host, const Group& group, VectorView<T> values, int root) {
    const auto at_values = carry(VectorView<const T>(values));
    rank_.communicator.broadcast(rank_.device(), group, at_values.vector(), root);
    fetch(at_values, values);
  }

 private:
  template <class T>
  Buffer<T, Device> carry(VectorView<const T> values) const {
    Buffer<T, Device> at(rank_.device(), values.size);
    if (values.size > 0) upload(rank_.device(), values.data, at.vector());
    return at;
  }
  template <class T>
  void fetch(const Buffer<T, Device>& from, VectorView<T> to) const {
    rank_.communicator.settle(rank_.device());
    if (to.size > 0) download(rank_.device(), from.vector(), to.data);
  }

  GpuRank& rank_;
};

void on_groups(auto&& exchange) {
  const auto on_gpus = [](int ranks, auto&& work) {
    on_gpu_ranks(ranks, [&](GpuRank& rank) {
      ByWayOfGpu communicator(rank);
      work(communicator);
    });
  };
  for (const auto& what : find_on_groups(on_gpus, exchange)) BOOST_ERROR(what);
}

}  // namespace

BOOST_AUTO_TEST_CASE(sums_of_every_group_are_exact) {
  on_groups([](ByWayOfGpu& communicator, const Group& group, Findings& findings) {
    find_wrong_sums<float>(communicator, group, findings);
    find_wrong_sums<bf16>(communicator, group, findings);
    find_wrong_sums<fp16>(communicator, group, findings);
  });
}

BOOST_AUTO_TEST_CASE(elements_of_every_group_arrive) {
  on_groups([](ByWayOfGpu& communicator, const Group& group, Findings& findings) {
    find_lost_elements<float>(communicator, group, findings);
    find_lost_elements<bf16>(communicator, group, findings);
    find_lost_elements<fp8_e4m3>(communicator, group, findings);
  });
}

BOOST_AUTO_TEST_CASE(small_values_of_the_hosts_take_the_same_calls) {
  on_gpu_ranks(3, [](GpuRank& rank) {
    const Group world{0, 1, 3};
    int sum = rank.communicator.rank() + 1, root = rank.communicator.rank();
    rank.communicator.all_reduce(host, world, VectorView<int>{&sum, 1});
    rank.communicator.broadcast(host, world, VectorView<int>{&root, 1}, 2);
    if (sum != 6 || root != 2) throw Error("words were lost");
  });
}

BOOST_AUTO_TEST_CASE(long_sums_go_in_pieces_and_memory_is_not_read_before_it_is_written) {
  // Longer than a piece, of a length that no pack divides; what is sent is written right before, in the
  // stream, and overwritten right behind.
  constexpr index_t size = (index_t{48} << 20) + 5;
  on_gpu_ranks(2, [&](GpuRank& rank) {
    const Device device = rank.device();
    const Buffer<bf16, Device> values(device, size);
    for (int round = 0; round < 3; ++round) {
      const std::uint16_t own = bf16(static_cast<float>(rank.communicator.rank() + 1 + round)).bits;
      const std::vector<bf16> filled(std::size_t(size), bf16::from_bits(own));
      upload(device, filled.data(), values.vector());
      check(cudaMemsetAsync(values.data(), 0, 2, device.stream));
      rank.communicator.all_reduce(device, Group{0, 1, 2}, values.vector());
    }
    rank.communicator.settle(device);
    std::vector<bf16> result(std::size_t(size), poison<bf16>());
    download(device, values.vector(), result.data());
    const float expected = 1 + 2 + 2 * 2;
    if (float(result[0]) != 0) throw Error("the first element is " + std::to_string(float(result[0])));
    for (std::size_t i = 1; i < result.size(); ++i)
      if (float(result[i]) != expected)
        throw Error("element " + std::to_string(i) + " is " + std::to_string(float(result[i])));
  });
}

BOOST_AUTO_TEST_CASE(a_rank_that_fails_lets_the_others_go_while_their_gpus_wait) {
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::atomic<int> lost = 0;
    const auto begin = std::chrono::steady_clock::now();
    std::string message;
    try {
      on_gpu_ranks(3, [&](GpuRank& rank) {
        const Buffer<float, Device> values(rank.device(), 1000);
        check(cudaMemsetAsync(values.data(), 0, values.size_bytes(), rank.device().stream));
        const Group world{0, 1, 3};
        try {
          rank.communicator.all_reduce(rank.device(), world, values.vector());
          if (rank.communicator.rank() == 1) {
            keep_busy(rank.device(), 200'000'000);
            throw Error("no memory");
          }
          rank.communicator.all_reduce(rank.device(), world, values.vector());
          rank.communicator.settle(rank.device());
        } catch (const RankLost&) {
          ++lost;
          throw;
        }
      });
    } catch (const std::exception& error) {
      message = error.what();
    }
    BOOST_CHECK_EQUAL(message, "no memory");
    BOOST_CHECK_EQUAL(lost, 2);
    BOOST_CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
  }
}

BOOST_AUTO_TEST_CASE(recorded_collectives_say_when_the_gpu_was_in_them) {
  FlightRecorder recorders[2];
  on_gpu_ranks(2, [&](GpuRank& rank) {
    const int me = rank.communicator.rank();
    Recorded communicator(rank.communicator, recorders[me]);
    const Buffer<float, Device> values(rank.device(), 1 << 20);
    check(cudaMemsetAsync(values.data(), 0, values.size_bytes(), rank.device().stream));
    if (me == 1) keep_busy(rank.device(), 300'000'000);
    communicator.all_reduce(rank.device(), Group{0, 1, 2}, values.vector());
    communicator.settle(rank.device());
  });
  const auto seconds = [](FlightClock::duration of) { return std::chrono::duration<double>(of).count(); };
  for (const FlightRecorder& recorder : recorders) {
    const auto flights = recorder.flights();
    BOOST_REQUIRE_EQUAL(flights.size(), 1);
    BOOST_REQUIRE(flights[0].is_queued && flights[0].entered && flights[0].ended);
  }
  // Rank 0 was in it while rank 1's GPU was busy before it.
  BOOST_CHECK_GT(seconds(*recorders[0].flights()[0].ended - *recorders[0].flights()[0].entered), 0.2);
  BOOST_CHECK_LT(seconds(*recorders[1].flights()[0].ended - *recorders[1].flights()[0].entered), 0.2);
}
