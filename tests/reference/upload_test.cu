#define BOOST_TEST_MODULE upload_device
#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <random>
#include <vector>

#include <stepvideo/core/pinned.cuh>

#include "io/mapped_file.hpp"
#include "io/pinned_slots.cuh"
#include "reference/upload_cases.hpp"
#include "support/device.cuh"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

BOOST_TEST_GLOBAL_FIXTURE(NeedsDevice);

namespace {

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator Device() const { return {stream_}; }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace

BOOST_AUTO_TEST_CASE(tensors_of_every_dtype_arrive_through_one_ring_by_two_streams) {
  PinnedSlots slots(1 << 20);
  UploadRing ring(slots);
  const Stream streams[2];
  std::mt19937 engine(3);
  for (int trial = 0; trial < 6; ++trial) {
    const Device on = streams[trial % 2];
    UploadCase problem(engine, trial < 3 ? 3000 : 900'000);
    const Buffer<std::byte, Device> targets(on, static_cast<index_t>(problem.target_bytes()));
    problem.place_targets(targets.data());
    ring.upload(on, problem.items());
    check(cudaMemcpyAsync(problem.targets(), targets.data(), targets.size_bytes(), cudaMemcpyDefault,
                          on.stream));
    synchronize(on);
    problem.check_targets();
  }
}

BOOST_AUTO_TEST_CASE(pinned_memory_that_is_refused_leaves_no_error_behind) {
  BOOST_CHECK(!PinnedBuffer<std::byte>::if_possible(index_t{1} << 44));
  check(cudaGetLastError());
  const auto some = PinnedBuffer<int>::if_possible(1000);
  BOOST_REQUIRE(some.has_value());
  std::ranges::fill(*some, 7);
  BOOST_CHECK_EQUAL((*some)[999], 7);
}

/// Prints what a ring reaches, by the size of its slots, its threads and how it reads; run with
/// --log_level=message.
BOOST_AUTO_TEST_CASE(a_mapped_file_arrives_whole) {
  constexpr index_t bytes = index_t{2} << 30, elements = bytes / sizeof(bf16);
  const ScratchFolder folder;
  {
    std::vector<std::uint16_t> part(1 << 20);
    std::mt19937 engine(4);
    std::ofstream file(folder / "weights", std::ios::binary);
    for (index_t written = 0; written < elements; written += std::ssize(part)) {
      for (auto& value : part) value = static_cast<std::uint16_t>(engine() & 0xBFFFu);  // finite as bf16
      file.write(reinterpret_cast<const char*>(part.data()),
                 static_cast<std::streamsize>(part.size() * sizeof part[0]));
    }
  }
  const Stream on;
  const Buffer<bf16, Device> target(on, elements);
  std::vector<std::uint16_t> arrived(elements);
  const auto upload = [&](const UploadPolicy& policy) {
    const auto file =
        MappedFile::open(folder / "weights", "a file of weights");  // mapped anew: no page is there
    PinnedSlots slots(policy.slot_bytes);
    UploadRing ring(slots, policy);
    const UploadItem item{"weights",
                          {Dtype::bf16, {elements}, file.bytes()},
                          Dtype::bf16,
                          reinterpret_cast<std::byte*>(target.data())};
    synchronize(on);
    const auto begin = std::chrono::steady_clock::now();
    ring.upload(on, {&item, 1});
    synchronize(on);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    BOOST_TEST_MESSAGE("slots of " << (policy.slot_bytes >> 20) << " MiB, at most " << policy.most_threads
                                   << " threads, " << (policy.reads_files ? "read" : "mapped") << ": "
                                   << static_cast<double>(bytes) / time.count() * 1e-9 << " GB/s");
  };
  const auto check_arrived = [&] {
    const auto file = MappedFile::open(folder / "weights", "a file of weights");
    check(cudaMemcpy(arrived.data(), target.data(), target.size_bytes(), cudaMemcpyDefault));
    BOOST_CHECK_EQUAL(std::memcmp(arrived.data(), file.bytes().data(), target.size_bytes()), 0);
    check(cudaMemset(target.data(), 0xFF, target.size_bytes()));
  };
  for (const bool reads_files : {true, false}) {
    upload({.reads_files = reads_files});
    check_arrived();
    for (const index_t mebibytes : {4, 8, 16, 32, 64})
      for (const int threads : {4, 8, 12, 16}) upload({mebibytes << 20, threads, reads_files});
    check_arrived();
  }
}
