// Ranks that are processes, on one host or several.
#pragma once
#include <cstring>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include <stepvideo/comm/exchange_communicator.hpp>
#include <stepvideo/comm/process_messages.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// Every collective begins with small messages in which the members agree on it, so that disagreement and
/// death are seen before data moves; then the data goes from rank to rank.
class ProcessExchange {
 public:
  using ExecutionType = Host;

  explicit ProcessExchange(ProcessMessages& messages) : messages_(messages) {}

  int rank() const { return messages_.rank(); }
  int ranks() const { return messages_.ranks(); }
  ProcessMessages& messages() const { return messages_; }

  void meet(const Group& group, const Arrival& arrival) { messages_.meet(group, arrival); }

  void exchange(Host, const Group& group, std::span<const SentRun> sent,
                std::span<const ReceivedRun> received) {
    const int me = group.member(rank());
    std::vector<int> others;
    RankWire& wire = messages_.wire();
    for (int member = 0; member < group.size; ++member) {
      const auto& [from, sent_bytes] = sent[std::size_t(member)];
      const auto& [to, received_bytes] = received[std::size_t(member)];
      if (member == me) {
        if (sent_bytes > 0 && from != to) std::memcpy(to, from, sent_bytes);
        continue;
      }
      others.push_back(group.rank(member));
      if (received_bytes > 0)
        wire.begin_receive(others.back(), {static_cast<std::byte*>(to), received_bytes});
      if (sent_bytes > 0) wire.begin_send(others.back(), {static_cast<const std::byte*>(from), sent_bytes});
    }
    messages_.move(others);
  }

 private:
  ProcessMessages& messages_;
};

class ProcessCommunicator : public ExchangeCommunicator<ProcessExchange> {
 public:
  explicit ProcessCommunicator(ProcessMessages& messages) : ExchangeCommunicator(messages) {}

  ProcessMessages& messages() const { return exchanger().messages(); }
  /// Agrees on a collective that moves no memory of the host; see RankWords.
  bool meet(const Group& group, const Arrival& arrival) { return messages().meet(group, arrival); }
  void require_all_well() { messages().require_all_well(); }
};
static_assert(Communicator<ProcessCommunicator>);

/// Calls `work(ProcessCommunicator&)` on this process' rank. All ranks reach the end together: what `work`
/// wrote down before it threw is there on all ranks before any process is gone. Throws what `work` throws,
/// and RankLost where it went well and another rank failed.
template <class Work>
void run_on_processes(ProcessMessages& messages, Work&& work) {
  ProcessCommunicator communicator(messages);
  try {
    work(communicator);
  } catch (const std::exception& error) {
    messages.end(error.what());
    throw;
  } catch (...) {
    messages.end("an unknown exception");
    throw;
  }
  if (const std::string failure = messages.end({}); !failure.empty())
    throw RankLost(failure + "; rank " + std::to_string(messages.rank()) + " had ended");
}

}  // namespace stepvideo
