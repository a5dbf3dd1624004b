#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/gpu_communicator.cuh>
#include <stepvideo/comm/peer_wire.cuh>
#include <stepvideo/core/pinned.cuh>
#include <stepvideo/core/shape.hpp>
#include <stepvideo/kernels/sampler/noise.cuh>

#include "commands/bench_links.hpp"
#include "commands/bench_model.cuh"
#include "io/json.hpp"
#include "io/pending_file.hpp"
#include "pipeline/nccl.hpp"
#include "place/accelerator.cuh"

namespace stepvideo::commands {
namespace {

constexpr VideoShape video{.frames = 204, .height = 544, .width = 992};
constexpr index_t width = 6144;  // 48 heads of 128 channels
constexpr int warm_ups = 3, runs = 9;

/// What one rank sends in a call, and the median seconds of the slowest rank.
struct Measured {
  std::string name;
  double bytes = 0, seconds = 0;
  double rate() const { return bytes / seconds; }
};

void print(const Measured& row) {
  fmt::print("{:<58} {:>9.3f} ms {:>8.1f} GB/s\n", row.name, 1e3 * row.seconds, 1e-9 * row.rate());
}

/// Median seconds of `call` in the stream.
template <class Call>
double seconds_of(Device at, Call&& call) {
  for (int run = 0; run < warm_ups; ++run) call();
  Marks marks(at);
  marks.mark();
  for (int run = 0; run < runs; ++run) call(), marks.mark();
  return 1e-3 * median_of(marks.intervals());
}

void bench_host_copies(const place::Place& place, int rank) {
  const Device at = place.accelerator().compute();
  constexpr index_t bytes = index_t{1} << 30;
  const PinnedBuffer<std::byte> pinned(bytes);
  std::fill(pinned.begin(), pinned.end(), std::byte{7});
  const Buffer<std::byte, Device> there(at, bytes);
  const auto copy_with = [&](void* to, const void* from, cudaMemcpyKind kind) {
    return seconds_of(at, [&] { check(cudaMemcpyAsync(to, from, bytes, kind, at.stream)); });
  };
  print({fmt::format("pinned memory to rank {}'s GPU", rank), bytes,
         copy_with(there.data(), pinned.data(), cudaMemcpyHostToDevice)});
  print({fmt::format("rank {}'s GPU to pinned memory", rank), bytes,
         copy_with(pinned.data(), there.data(), cudaMemcpyDeviceToHost)});
}

/// The collectives of one way to exchange.
class LinksBench {
 public:
  LinksBench(const place::Place& place, int ranks, pipeline::ExchangeOptions exchange)
      : place_(place), ranks_(ranks), exchange_(exchange) {}

  std::vector<Measured> run() {
    const bool copies = exchange_.kind == pipeline::ExchangeOptions::Kind::copies;
    copies ? place::let_reach(place_, ranks_) : pipeline::open_nccl(exchange_, true);
    run_on_threads(ranks_, [&](ThreadCommunicator& end) {
      const place::Place own = place_.of_rank(end.rank());
      const Device at = own.accelerator().compute();
      WordsOver<ThreadCommunicator> words(end);
      const std::unique_ptr<DeviceWire> wire =
          copies ? std::make_unique<PeerWire>(end) : pipeline::make_nccl_wire(words, exchange_);
      if (end.rank() == 0) fmt::print("by {}\n", wire->name());
      GpuCommunicator communicator(words, *wire, at);
      try {
        measure_all(communicator, at);
        communicator.finish();
      } catch (...) {
        communicator.abort();
        throw;
      }
    });
    return measured_;
  }

 private:
  void measure_all(GpuCommunicator& communicator, Device at) {
    const Group world{0, 1, ranks_};
    const int rank = communicator.rank();
    const index_t tokens = shard_of(video.tokens(), ranks_, rank).count, heads = width / ranks_;
    const index_t share = tokens * heads;  // what it sends to one other of q, k, v or the result
    const double others = ranks_ - 1;
    constexpr double element = sizeof(bf16);
    const Buffer<bf16, Device> send(at, video.tokens() * width), receive(at, send.size());
    fill_normal(at, static_cast<std::uint64_t>(rank) + 1, 0, 1.0f, send.vector());
    std::vector<index_t> sent(std::size_t(ranks_), share), received, parts;
    for (int member = 0; member < ranks_; ++member) {
      received.push_back(shard_of(video.tokens(), ranks_, member).count * heads);
      parts.push_back(shard_of(send.size(), ranks_, member).count);
    }
    const auto first = [](const Buffer<bf16, Device>& buffer, index_t count) {
      return VectorView<bf16>{buffer.data(), count};
    };
    const auto own_part = [&] {
      const Shard part = shard_of(send.size(), ranks_, rank);
      return VectorView<bf16>{receive.data() + part.first, part.count};
    };
    measure(communicator, at, "all-to-all of one of q, k, v and the result",
            others * static_cast<double>(share) * element, [&] {
              communicator.all_to_all(at, world, first(send, ranks_ * share), sent,
                                      first(receive, sum_of(received)), received);
            });
    measure(
        communicator, at, "keys or values to the next rank", static_cast<double>(tokens * width) * element,
        [&] {
          communicator.shift(
              at, world, first(send, tokens * width),
              first(receive, shard_of(video.tokens(), ranks_, (rank + ranks_ - 1) % ranks_).count * width));
        });
    const double passed = others / ranks_ * static_cast<double>(send.size()) * element;
    measure(communicator, at, "sums of the residual stream, in parts", passed,
            [&] { communicator.reduce_scatter(at, world, send.vector(), parts, own_part()); });
    measure(communicator, at, "parts of the residual stream, gathered", passed,
            [&] { communicator.all_gather(at, world, own_part(), parts, receive.vector()); });
  }

  /// Rank 0 tells the slowest rank's time.
  template <class Call>
  void measure(GpuCommunicator& communicator, Device at, const char* name, double bytes, Call&& call) {
    const auto group = Group{0, 1, ranks_};
    double seconds = seconds_of(at, [&] { call(); });
    communicator.settle(at);
    std::vector<double> all(static_cast<std::size_t>(ranks_));
    communicator.all_gather(host, group, VectorView<const double>{&seconds, 1},
                            std::vector<index_t>(std::size_t(ranks_), 1),
                            VectorView<double>{all.data(), ranks_});
    if (communicator.rank() > 0) return;
    measured_.push_back({name, bytes, std::ranges::max(all)});
    print(measured_.back());
  }

  place::Place place_;
  int ranks_;
  pipeline::ExchangeOptions exchange_;
  std::vector<Measured> measured_;  // rank 0's
};

void save_link(const std::filesystem::path& path, const std::string& how, const place::Place& place,
               int ranks, const std::vector<Measured>& rows) {
  const auto value = [&](double of, const std::string& source) {
    return io::Json{{"value", of}, {"source", source}};
  };
  const std::string source =
      fmt::format("measured between {} ranks on {} by {}", ranks, place.gpu().name, how);
  const io::Json link{
      {"name", path.stem().string()},
      {"description", source},
      {"all_to_all_bytes_per_second", value(rows.at(0).rate(), source + ": " + rows.at(0).name)},
      {"all_reduce_bytes_per_second",
       value(std::min(rows.at(2).rate(), rows.at(3).rate()), source + ": " + rows.at(2).name)},
      {"send_bytes_per_second", value(rows.at(1).rate(), source + ": " + rows.at(1).name)},
      {"network_bytes_per_second", value(4.5e10, "one 400 Gb/s adapter a GPU; not measured")},
      {"latency_seconds", value(2e-5, "estimate, not measured")},
      {"ranks_per_host", value(ranks, "the ranks that were measured")},
      {"buffer_bytes", value(how.starts_with("NCCL") ? 1e9 : 0, "NCCL's is an estimate; copies need none")}};
  io::write_file(path, link.dump(2) + "\n");
}

}  // namespace

void bench_links(const place::Place& place, const LinksBenchRequest& request) {
  using Kind = pipeline::ExchangeOptions::Kind;
  fmt::print("{} ranks, {}\n", request.ranks, place.name());
  for (int rank = 0; rank < std::min(request.ranks, place.gpu().sharers > 1 ? 1 : request.ranks); ++rank)
    bench_host_copies(place.of_rank(rank), rank);
  if (request.ranks == 1) return;
  std::vector<Measured> rows;
  std::string how;
  for (const Kind kind : {Kind::nccl, Kind::copies}) {
    if (request.exchange.kind != Kind::automatic && request.exchange.kind != kind) continue;
    // NCCL refuses two ranks on one GPU.
    if (kind == Kind::nccl && request.exchange.kind == Kind::automatic && place.gpu().sharers > 1) continue;
    pipeline::ExchangeOptions exchange = request.exchange;
    exchange.kind = kind;
    rows = LinksBench(place, request.ranks, exchange).run();
    how = kind == Kind::nccl ? "NCCL" : "copies between GPUs";
  }
  if (request.save) save_link(*request.save, how, place, request.ranks, rows);
}

}  // namespace stepvideo::commands
