// What ranks whose data lies on GPUs tell each other on their hosts: what they call, small values, and that
// one of them cannot go on.
#pragma once
#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

#include <stepvideo/comm/agreement.hpp>
#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// One rank's words. As a Communicator's collectives: all members of a group call the same in the same order.
class RankWords {
 public:
  virtual ~RankWords() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  /// Returns when all members have said what they call: whether they are_even(). Throws what
  /// require_agreement throws, and RankLost.
  virtual bool meet(const Group& group, const Arrival& arrival) = 0;
  /// all = every member's `mine`, of as many bytes each.
  virtual void gather(const Group& group, std::span<const std::byte> mine, std::span<std::byte> all) = 0;
  /// Throws RankLost where another rank has failed or is gone. Does not wait; for while this one waits for
  /// its GPU.
  virtual void require_all_well() = 0;
};

/// Words over a communicator of the host: ThreadCommunicator, ProcessCommunicator.
template <Communicator C>
requires std::same_as<typename C::ExecutionType, Host>
class WordsOver final : public RankWords {
 public:
  /// The communicator outlives this.
  explicit WordsOver(C& communicator) : communicator_(communicator) {}

  int rank() const override { return communicator_.rank(); }
  int ranks() const override { return communicator_.ranks(); }
  bool meet(const Group& group, const Arrival& arrival) override {
    return communicator_.meet(group, arrival);
  }
  void gather(const Group& group, std::span<const std::byte> mine, std::span<std::byte> all) override {
    const std::vector<index_t> counts(std::size_t(group.size), std::ssize(mine));
    communicator_.all_gather(host, group, VectorView<const std::byte>{mine.data(), std::ssize(mine)}, counts,
                             VectorView<std::byte>{all.data(), std::ssize(all)});
  }
  void require_all_well() override { communicator_.require_all_well(); }

 private:
  C& communicator_;
};

}  // namespace stepvideo
