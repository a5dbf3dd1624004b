// A library with NCCL's symbols: see nccl_stand_in.hpp. STAND_IN_OLD leaves out what came with 2.28, and
// STAND_IN_BROKEN what no NCCL lacks.
#include "comm/nccl_stand_in.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include <nccl.h>

namespace {

/// A run that a member sends or receives.
struct Run {
  const void* send = nullptr;
  void* receive = nullptr;
  std::size_t bytes = 0;
  int peer = 0;
  cudaStream_t stream = nullptr;
  bool is_of_all_to_all = false;
};

struct Clique {
  int size = 0, joined = 0, ended = 0;
  std::map<int, ncclComm*> members{};
  std::map<std::pair<int, int>, std::deque<Run>> sends{}, receives{};  ///< by sender and receiver
};

}  // namespace

struct ncclComm {
  enum Stage { joins, works, ends } stage = joins;
  std::shared_ptr<Clique> clique;
  int rank = 0, polls = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<Run> given{};                 ///< and not begun
  std::map<cudaStream_t, int> not_ended{};  ///< of those begun
};

namespace {

std::mutex mutex;
int version = NCCL_VERSION(2, 28, 9), polls_of_each = 0, ids = 0;
std::string last_error;
std::vector<std::string> misused;
std::set<ncclComm*> alive;
std::map<int, std::shared_ptr<Clique>> cliques;  ///< by unique id

struct OfThread {
  std::vector<std::string> calls;
  int depth = 0, calls_to_failure = -1;
  ncclResult_t error = ncclSuccess;  ///< in the group
  std::vector<std::pair<ncclComm*, Run>> given;
  std::vector<ncclComm*> aborted;
};
thread_local OfThread mine;

ncclResult_t refuse(std::string what) {
  last_error = what;
  misused.push_back(std::move(what));
  return mine.error = ncclInvalidUsage;
}

bool is_known(ncclComm* comm, const char* call) {
  if (alive.contains(comm)) return true;
  refuse(std::string(call) + " of a communicator that is not there");
  return false;
}

void fail(ncclComm* comm, const std::string& why) {
  last_error = why;
  comm->error = ncclRemoteError;
}

void match(Clique& clique, int from, int to) {
  auto &sends = clique.sends[{from, to}], &receives = clique.receives[{from, to}];
  // Who has aborted is there no more.
  while (!sends.empty() && !receives.empty() && clique.members[from] && clique.members[to]) {
    const Run sent = sends.front(), received = receives.front();
    sends.pop_front(), receives.pop_front();
    ncclComm *const sender = clique.members[from], *const receiver = clique.members[to];
    if (sent.bytes != received.bytes || sent.is_of_all_to_all != received.is_of_all_to_all) {
      const std::string text = "member " + std::to_string(from) + " sends " + std::to_string(sent.bytes) +
                               " and member " + std::to_string(to) + " receives " +
                               std::to_string(received.bytes);
      misused.push_back(text);
      fail(sender, text), fail(receiver, text);
      continue;
    }
    std::memmove(received.receive, sent.send, sent.bytes);
    --sender->not_ended[sent.stream], --receiver->not_ended[received.stream];
  }
}

/// The GPU has got it.
void begin(ncclComm* comm) {
  for (const Run& run : std::exchange(comm->given, {})) {
    ++comm->not_ended[run.stream];
    const bool is_sent = run.send != nullptr;
    const int from = is_sent ? comm->rank : run.peer, to = is_sent ? run.peer : comm->rank;
    (is_sent ? comm->clique->sends : comm->clique->receives)[{from, to}].push_back(run);
    match(*comm->clique, from, to);
  }
}

ncclResult_t state_of(ncclComm* comm) {
  if (comm->error != ncclSuccess) return comm->error;
  if (comm->polls > 0 && comm->polls-- > 0) return ncclInProgress;
  const int came = comm->stage == ncclComm::joins  ? comm->clique->joined
                   : comm->stage == ncclComm::ends ? comm->clique->ended
                                                   : comm->clique->size;
  if (came < comm->clique->size) return ncclInProgress;
  if (comm->stage == ncclComm::joins) comm->stage = ncclComm::works;
  begin(comm);
  return comm->error;
}

void forget(ncclComm* comm) {
  alive.erase(comm);
  comm->clique->members.erase(comm->rank);
  delete comm;
}

/// Ends the outermost group.
ncclResult_t end_group() {
  for (ncclComm* const comm : std::exchange(mine.aborted, {})) forget(comm);
  const auto given = std::exchange(mine.given, {});
  if (const ncclResult_t error = std::exchange(mine.error, ncclSuccess); error != ncclSuccess) return error;
  std::set<ncclComm*> with;
  for (const auto& [comm, run] : given) comm->given.push_back(run), with.insert(comm);
  ncclResult_t result = ncclSuccess;
  for (ncclComm* const comm : with) {
    comm->polls = polls_of_each;
    if (polls_of_each > 0) result = ncclInProgress;
    if (polls_of_each == 0 && comm->error == ncclSuccess) begin(comm);
  }
  return result;
}

ncclResult_t give(ncclComm* comm, const char* call, const std::vector<Run>& runs) {
  if (!is_known(comm, call)) return ncclInvalidArgument;
  if (comm->stage != ncclComm::works || comm->polls > 0)
    return refuse(std::string(call) + " before the communicator was ready");
  for (const Run& run : runs) mine.given.emplace_back(comm, run);
  if (mine.calls_to_failure > 0 && --mine.calls_to_failure == 0) fail(comm, "the cable was pulled");
  return mine.depth > 0 ? ncclSuccess : end_group();
}

class Control final : public stepvideo::testing::NcclStandIn {
 public:
  void reset() override {
    const std::lock_guard lock(mutex);
    version = NCCL_VERSION(2, 28, 9), polls_of_each = 0;
    last_error.clear(), misused.clear(), cliques.clear();
    mine = {};
  }
  void set_version(int reported) override { version = reported; }
  void set_polls(int polls) override { polls_of_each = polls; }
  void fail_at(int calls) override { mine.calls_to_failure = calls; }
  void fail_all() override {
    const std::lock_guard lock(mutex);
    for (ncclComm* const comm : alive) fail(comm, "the switch was turned off");
  }
  bool is_done(void* stream) override {
    const std::lock_guard lock(mutex);
    for (ncclComm* const comm : alive)
      if (comm->not_ended[static_cast<cudaStream_t>(stream)] > 0) return false;
    return true;
  }
  int communicators() override {
    const std::lock_guard lock(mutex);
    return int(alive.size());
  }
  std::vector<std::string> calls() override { return mine.calls; }
  std::vector<std::string> misuse() override {
    const std::lock_guard lock(mutex);
    return misused;
  }
};

std::lock_guard<std::mutex> enter(const std::string& call) {
  mine.calls.push_back(call);
  return std::lock_guard(mutex);
}

}  // namespace

extern "C" {

stepvideo::testing::NcclStandIn* nccl_stand_in() {
  static Control control;
  return &control;
}

ncclResult_t ncclGetVersion(int* reported) {
  *reported = version;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error" : "invalid usage";
}
const char* ncclGetLastError(ncclComm_t) {
  return last_error.c_str();
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const auto lock = enter("ncclGetUniqueId");
  std::memcpy(id->internal, &++ids, sizeof ids);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  // What the structure begins with since 2.17; a library takes no more than it knows, and no more than there
  // is.
  struct {
    std::size_t size;
    unsigned magic, version;
    int blocking, clusters, least_ctas, most_ctas;
  } begin_of_config{};
  std::memcpy(&begin_of_config.size, config, sizeof begin_of_config.size);
  std::memcpy(&begin_of_config, config, std::min(begin_of_config.size, sizeof begin_of_config));
  const auto ctas = [](int count) { return count == NCCL_CONFIG_UNDEF_INT ? "any" : std::to_string(count); };
  const auto lock = enter("ncclCommInitRankConfig " + std::to_string(rank) + " of " + std::to_string(size) +
                          ": blocking " + std::to_string(begin_of_config.blocking) + ", ctas " +
                          ctas(begin_of_config.least_ctas) + " to " + ctas(begin_of_config.most_ctas));
  if (begin_of_config.size < sizeof begin_of_config || begin_of_config.magic != 0xcafebeef ||
      begin_of_config.version < NCCL_VERSION(2, 17, 0))
    return refuse("a config without NCCL_CONFIG_INITIALIZER");
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  auto& clique = cliques[number];
  if (number == 0 || number > ids) return refuse("an id that ncclGetUniqueId never gave");
  if (clique == nullptr) clique = std::make_shared<Clique>(Clique{.size = size});
  if (clique->size != size || clique->members[rank] != nullptr)
    return refuse("two members who do not fit each other");
  ++clique->joined;
  *comm = clique->members[rank] = new ncclComm{.clique = clique, .rank = rank, .polls = polls_of_each};
  alive.insert(*comm);
  return ncclInProgress;
}

#ifndef STAND_IN_BROKEN
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const auto lock = enter("ncclCommFinalize");
  if (!is_known(comm, "ncclCommFinalize")) return ncclInvalidArgument;
  if (comm->stage != ncclComm::works || comm->polls > 0) return refuse("ncclCommFinalize out of turn");
  for (const auto& [stream, count] : comm->not_ended)
    if (count > 0) return refuse("ncclCommFinalize before the streams were done");
  comm->stage = ncclComm::ends;
  comm->polls = polls_of_each;
  ++comm->clique->ended;
  return ncclInProgress;
}
#endif

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const auto lock = enter("ncclCommDestroy");
  if (!is_known(comm, "ncclCommDestroy")) return ncclInvalidArgument;
  if (comm->stage != ncclComm::ends || comm->polls > 0 || comm->clique->ended < comm->clique->size)
    return refuse("ncclCommDestroy before the end of ncclCommFinalize");
  forget(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const auto lock = enter("ncclCommAbort");
  if (!is_known(comm, "ncclCommAbort")) return ncclInvalidArgument;
  mine.aborted.push_back(comm);
  return mine.depth > 0 ? ncclSuccess : end_group();
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const std::lock_guard lock(mutex);
  if (!is_known(comm, "ncclCommGetAsyncError")) return ncclInvalidArgument;
  *state = state_of(comm);
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  const auto lock = enter("ncclGroupStart");
  ++mine.depth;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  const auto lock = enter("ncclGroupEnd");
  if (mine.depth == 0) return refuse("ncclGroupEnd without ncclGroupStart");
  return --mine.depth > 0 ? ncclSuccess : end_group();
}

ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  const auto lock = enter("ncclSend to " + std::to_string(peer) + ": " + std::to_string(count));
  return give(comm, "ncclSend", {{.send = data, .bytes = count, .peer = peer, .stream = stream}});
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  const auto lock = enter("ncclRecv from " + std::to_string(peer) + ": " + std::to_string(count));
  return give(comm, "ncclRecv", {{.receive = data, .bytes = count, .peer = peer, .stream = stream}});
}

#ifndef STAND_IN_OLD
ncclResult_t ncclAlltoAll(const void* send, void* receive, std::size_t count, ncclDataType_t, ncclComm_t comm,
                          cudaStream_t stream) {
  const auto lock = enter("ncclAlltoAll: " + std::to_string(count));
  if (!is_known(comm, "ncclAlltoAll")) return ncclInvalidArgument;
  std::vector<Run> runs;
  for (int peer = 0; peer < comm->clique->size; ++peer) {
    const std::size_t at = std::size_t(peer) * count;
    runs.push_back({static_cast<const char*>(send) + at, nullptr, count, peer, stream, true});
    runs.push_back({nullptr, static_cast<char*>(receive) + at, count, peer, stream, true});
  }
  return give(comm, "ncclAlltoAll", runs);
}
#endif

}  // extern "C"
