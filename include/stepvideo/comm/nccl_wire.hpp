// Bytes between GPUs over NCCL. Include it where nccl.h is found; nothing else includes it. It calls NCCL
// alone and nothing of CUDA's.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ranges>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <nccl.h>

#include <stepvideo/comm/device_wire.hpp>
#include <stepvideo/comm/nccl_communicator.hpp>
#include <stepvideo/comm/nccl_library.hpp>
#include <stepvideo/comm/rank_words.hpp>
#include <stepvideo/core/error.hpp>

namespace stepvideo {

struct NcclOptions {
  /// Thread blocks, and so multiprocessors, that a communicator's kernels take: minCTAs and maxCTAs, 1 to 64.
  /// 0 leaves it to NCCL.
  int ctas = 0;
  /// How long NCCL may take to make a communicator, to give an exchange to the GPU, or to end.
  std::chrono::duration<double> deadline{60};
};

/// One rank's end, on the GPU that is current on its thread. A group has a communicator, made when it first
/// exchanges. Every call of NCCL returns at once and is then waited for here, while the rank hears whether
/// the others are well: for NCCL a rank that never comes is one to wait for. What exchange() was given is in
/// the stream when it returns, so that an event recorded behind it is not early. Of a wire that has thrown,
/// abort() alone is of use.
///     const NcclLibrary library = NcclLibrary::open();   // once a process, before its ranks begin
///     NcclWire wire(library, words);                     // on the rank's thread
///     GpuCommunicator communicator(words, wire, gpu.compute());
///     ...                                                // a failure: abort(), as the destructor does
///     wire.finish();                                     // on all ranks, when their streams are done
class NcclWire final : public DeviceWire {
 public:
  /// `words` outlive this.
  NcclWire(NcclLibrary library, RankWords& words, NcclOptions options = {})
      : library_(std::move(library)), words_(words), options_(options) {
    require(options.ctas >= 0 && options.ctas <= 64, [&] {
      return "NCCL cannot have " + std::to_string(options.ctas) +
             " thread blocks; 1 to 64, or 0 for its own choice, work";
    });
  }
  NcclWire(const NcclWire&) = delete;
  NcclWire& operator=(const NcclWire&) = delete;
  ~NcclWire() override { abort(); }

  std::string name() const override { return library_.name(); }

  /// Makes the communicators of this rank's `groups` that have several members, so that none is made, and
  /// takes its memory, at a group's first exchange. All ranks give their groups of the same axes in the same
  /// order.
  void connect(std::span<const Group> groups) {
    for (const Group& group : groups)
      if (group.size > 1) communicator_of(group);
  }

  void exchange(Device device, const Group& group, std::span<const SentRun> sent,
                std::span<const ReceivedRun> received, bool are_even) override {
    const auto is_empty = [](const auto& run) { return run.bytes == 0; };
    if (std::ranges::all_of(sent, is_empty) && std::ranges::all_of(received, is_empty)) return;
    const NcclCommunicatorRef communicator = communicator_of(group);
    if (are_even && library_.functions().all_to_all != nullptr) {
      communicator.all_to_all(sent[0].data, received[0].data, sent[0].bytes, device.stream);
      return settle(communicator, "ncclAlltoAll");
    }
    NcclBatch batch(library_);
    for (int other = 0; other < group.size; ++other) {
      const SentRun& to = sent[static_cast<std::size_t>(other)];
      const ReceivedRun& from = received[static_cast<std::size_t>(other)];
      if (to.bytes > 0) communicator.send(to, other, device.stream);
      if (from.bytes > 0) communicator.receive(from, other, device.stream);
    }
    communicator.check(batch.end(), "ncclGroupEnd");
    settle(communicator, "ncclGroupEnd");
  }

  void require_works() override {
    for (const NcclCommunicator& communicator : communicators_) is_ready(communicator.ref(), "an exchange");
  }

  /// All communicators in one batch: one alone would wait for kernels that wait for another's.
  void abort() noexcept override {
    is_aborted_ = true;
    if (communicators_.empty()) return;
    const NcclFunctions& nccl = library_.functions();
    nccl.group_start();
    for (NcclCommunicator& communicator : communicators_)
      if (const ncclComm_t handle = communicator.release(); handle != nullptr) nccl.abort(handle);
    nccl.group_end();
    communicators_.clear();
  }

  /// Ends the communicators in order. All ranks call it when their streams have done what they were given;
  /// it begins when all have come. A group that exchanges behind it has a new communicator. Throws Error, and
  /// RankLost where a rank cannot come.
  void finish() override {
    require_not_aborted();
    const std::byte here{};
    std::vector<std::byte> all(static_cast<std::size_t>(words_.ranks()));
    words_.gather({0, 1, words_.ranks()}, {&here, 1}, all);
    // Each ends when all its members end it: all at once.
    for (const NcclCommunicator& communicator : communicators_) communicator.ref().finalize();
    for (const NcclCommunicator& communicator : communicators_)
      settle(communicator.ref(), "ncclCommFinalize");
    for (NcclCommunicator& communicator : communicators_) communicator.destroy();
    communicators_.clear();
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// What members tell each other before they make a communicator.
  struct Greeting {
    int version = 0;
    long long ctas = 0, buffer_bytes = 0, multicast = 0;
    ncclUniqueId id{};
  };
  static constexpr long long unset = -1;

  void require_not_aborted() const {
    if (is_aborted_)
      throw Error(library_.name() + " was given up on rank " + std::to_string(words_.rank()) +
                  " after a failure; a new wire works");
  }

  NcclCommunicatorRef communicator_of(const Group& group) {
    require_not_aborted();
    const auto found = std::ranges::find(communicators_, group, &NcclCommunicator::group);
    return found != communicators_.end() ? found->ref() : make(group);
  }

  NcclCommunicatorRef make(const Group& group) {
    require_member("exchange", group, words_.rank());
    const int me = group.member(words_.rank());
    const std::vector<Greeting> greetings = greet(group, me);
    require_one_nccl(group, greetings);
    communicators_.emplace_back(library_, group).begin(greetings[0].id, me, options_.ctas);
    settle(communicators_.back().ref(), "ncclCommInitRankConfig");
    return communicators_.back().ref();
  }

  std::vector<Greeting> greet(const Group& group, int me) {
    Greeting mine{.version = library_.version(),
                  .ctas = options_.ctas,
                  .buffer_bytes = in_environment("NCCL_BUFFSIZE"),
                  .multicast = in_environment("NCCL_NVLS_ENABLE")};
    if (me == 0)
      library_.check(library_.functions().get_unique_id(&mine.id), "ncclGetUniqueId", to_string(group),
                     nullptr);
    std::vector<Greeting> all(static_cast<std::size_t>(group.size));
    words_.gather(group, std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)));
    return all;
  }

  /// As NCCL reads it.
  static long long in_environment(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::strtoll(value, nullptr, 0) : unset;
  }

  /// The same on every member.
  static void require_one_nccl(const Group& group, const std::vector<Greeting>& greetings) {
    for (int member = 1; member < group.size; ++member) {
      const Greeting &first = greetings[0], &other = greetings[static_cast<std::size_t>(member)];
      const auto require_equal = [&](const std::string& of_first, const std::string& of_other) {
        require(of_first == of_other, [&] {
          return "rank " + std::to_string(group.rank(0)) + " has " + of_first + " and rank " +
                 std::to_string(group.rank(member)) + " has " + of_other +
                 "; give all ranks the same (mpirun hands variables to other hosts with -x NAME)";
        });
      };
      const auto text_of = [](const std::string& name, long long value) {
        return value == unset ? "no " + name : name + "=" + std::to_string(value);
      };
      require_equal(NcclLibrary::name_of(first.version), NcclLibrary::name_of(other.version));
      require_equal(text_of("ctas", first.ctas), text_of("ctas", other.ctas));
      require_equal(text_of("NCCL_BUFFSIZE", first.buffer_bytes),
                    text_of("NCCL_BUFFSIZE", other.buffer_bytes));
      require_equal(text_of("NCCL_NVLS_ENABLE", first.multicast),
                    text_of("NCCL_NVLS_ENABLE", other.multicast));
    }
  }

  /// A rank that is lost is what the others see fail: its reason comes first.
  bool is_ready(const NcclCommunicatorRef& communicator, const char* call) const {
    try {
      return communicator.is_ready(call);
    } catch (const Error&) {
      words_.require_all_well();
      throw;
    }
  }

  /// Returns when NCCL has done `call` on this host.
  void settle(const NcclCommunicatorRef& communicator, const char* call) const {
    using namespace std::chrono_literals;
    const auto begin = Clock::now();
    for (auto pause = 20us; !is_ready(communicator, call); pause = std::min(2 * pause, 1000us)) {
      words_.require_all_well();
      if (Clock::now() - begin > options_.deadline) throw_late(communicator.group(), call);
      std::this_thread::sleep_for(pause);
    }
  }

  [[noreturn]] void throw_late(const Group& group, const char* call) const {
    std::string seconds = std::to_string(options_.deadline.count());
    throw Error(library_.name() + ": " + call + " of " + to_string(group) + " has not ended on rank " +
                std::to_string(words_.rank()) + " within " + seconds.substr(0, seconds.find('.') + 2) +
                " s, although all of them have come to it; NCCL_DEBUG=INFO says how their GPUs are linked");
  }

  NcclLibrary library_;
  RankWords& words_;
  NcclOptions options_;
  std::vector<NcclCommunicator> communicators_;
  bool is_aborted_ = false;
};

}  // namespace stepvideo
