// Collectives on any communicator, against what they are to give.
#pragma once
#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo::testing {

inline constexpr Axis every_axis[] = {Axis::tensor, Axis::ulysses, Axis::ring, Axis::guidance,
                                      Axis::tokens, Axis::prompt,  Axis::world};

/// Small whole numbers: their sums are exact in every element type, so results are compared with ==.
template <class T>
T whole_number(int rank, index_t i) {
  return T(static_cast<float>((rank * 7 + i * 3) % 11 - 5));
}
template <class T>
T poison() {
  return T(99.0f);
}
template <class T>
VectorView<T> view_of(std::vector<T>& values) {
  return {values.data(), std::ssize(values)};
}
template <class T>
bool are_equal(const std::vector<T>& a, const std::vector<T>& b) {
  return std::ranges::equal(a, b, [](T x, T y) { return float(x) == float(y); });
}

/// Boost's checks are for one thread of one process: what ranks find is collected.
class Findings {
 public:
  void require(bool fact, const std::string& what) {
    if (fact) return;
    const std::lock_guard lock(mutex_);
    found_.push_back(what);
  }
  const std::vector<std::string>& found() const { return found_; }

 private:
  std::mutex mutex_;
  std::vector<std::string> found_;
};

/// Counts a member, some of them zero, the same on every rank.
inline std::vector<index_t> uneven_counts(const Group& group, int seed) {
  std::vector<index_t> counts;
  for (int member = 0; member < group.size; ++member) counts.push_back((group.first + member * seed) % 5 * 3);
  return counts;
}

/// all_reduce and reduce_scatter of whole numbers.
template <class T, Communicator C>
void find_wrong_sums(C& communicator, const Group& group, Findings& findings) {
  const int rank = communicator.rank(), me = group.member(rank);
  const auto sum = [&](index_t i) {
    float total = 0;
    for (int member = 0; member < group.size; ++member)
      total += float(whole_number<T>(group.rank(member), i));
    return T(total);
  };
  for (const index_t size : {0, 1, 5, 1000}) {
    std::vector<T> values, expected;
    for (index_t i = 0; i < size; ++i) {
      values.push_back(whole_number<T>(rank, i));
      expected.push_back(sum(i));
    }
    communicator.all_reduce(host, group, view_of(values));
    findings.require(are_equal(values, expected), "all_reduce");
  }
  const auto counts = uneven_counts(group, 2);
  std::vector<T> all, mine(std::size_t(counts[std::size_t(me)]), poison<T>()), expected;
  for (index_t i = 0; i < sum_of(counts); ++i) all.push_back(whole_number<T>(rank, i));
  const index_t first = sum_of(Counts(counts).first(std::size_t(me)));
  for (index_t i = 0; i < std::ssize(mine); ++i) expected.push_back(sum(first + i));
  communicator.reduce_scatter(host, group, view_of(all), counts, view_of(mine));
  findings.require(are_equal(mine, expected), "reduce_scatter");
}

/// The collectives that move elements, with uneven and empty counts.
template <class T, Communicator C>
void find_lost_elements(C& communicator, const Group& group, Findings& findings) {
  const int rank = communicator.rank(), me = group.member(rank);
  const auto counts = uneven_counts(group, 1);
  std::vector<T> mine, all(std::size_t(sum_of(counts)), poison<T>()), expected;
  for (index_t i = 0; i < counts[std::size_t(me)]; ++i) mine.push_back(whole_number<T>(rank, i));
  for (int member = 0; member < group.size; ++member)
    for (index_t i = 0; i < counts[std::size_t(member)]; ++i)
      expected.push_back(whole_number<T>(group.rank(member), i));
  communicator.all_gather(host, group, view_of(mine), counts, view_of(all));
  findings.require(are_equal(all, expected), "all_gather");

  std::ranges::fill(all, poison<T>());
  const index_t first = sum_of(Counts(counts).first(std::size_t(me)));
  std::ranges::copy(mine, all.begin() + first);
  communicator.all_gather(host, group, {all.data() + first, counts[std::size_t(me)]}, counts, view_of(all));
  findings.require(are_equal(all, expected), "all_gather in place");

  // From a to b go (a + 2 b) % 4 elements.
  const auto from_to = [](int a, int b) { return (a + 2 * b) % 4; };
  std::vector<index_t> sent, received;
  std::vector<T> send;
  expected.clear();
  for (int member = 0; member < group.size; ++member) {
    const int other = group.rank(member);
    sent.push_back(from_to(rank, other));
    received.push_back(from_to(other, rank));
    for (index_t i = 0; i < sent.back(); ++i) send.push_back(whole_number<T>(rank, other + i));
    for (index_t i = 0; i < received.back(); ++i) expected.push_back(whole_number<T>(other, rank + i));
  }
  std::vector<T> receive(std::size_t(sum_of(received)), poison<T>());
  communicator.all_to_all(host, group, view_of(send), sent, view_of(receive), received);
  findings.require(are_equal(receive, expected), "all_to_all");

  const int before = group.rank((me + group.size - 1) % group.size);
  std::vector<T> shifted(std::size_t(before % 3 + 1), poison<T>());
  send.clear(), expected.clear();
  for (index_t i = 0; i < rank % 3 + 1; ++i) send.push_back(whole_number<T>(rank, i));
  for (index_t i = 0; i < before % 3 + 1; ++i) expected.push_back(whole_number<T>(before, i));
  communicator.shift(host, group, view_of(send), view_of(shifted));
  findings.require(are_equal(shifted, expected), "shift");

  for (int root = 0; root < group.size; ++root) {
    std::vector<T> values(17, poison<T>());
    expected.clear();
    for (index_t i = 0; i < 17; ++i) expected.push_back(whole_number<T>(group.rank(root), i));
    if (me == root) values = expected;
    communicator.broadcast(host, group, view_of(values), root);
    findings.require(are_equal(values, expected), "broadcast");
  }
}

/// Runs `exchange(communicator, group, findings)` for every group along each axis of some meshes; returns
/// what they found. `run_ranks(ranks, work)` calls work(communicator) on so many ranks.
template <class RunRanks, class Exchange>
std::vector<std::string> find_on_groups(RunRanks&& run_ranks, Exchange&& exchange) {
  Findings findings;
  for (const Topology gpus :
       {Topology{}, Topology{.tensor = 3}, Topology{.guidance = 2, .tensor = 2, .ulysses = 2},
        Topology{.ulysses = 3, .ring = 2}, Topology{.tensor = 7}}) {
    const Mesh mesh{gpus};
    for (const Axis axis : every_axis)
      run_ranks(mesh.ranks(), [&](auto& communicator) {
        exchange(communicator, mesh.group(axis, communicator.rank()), findings);
      });
  }
  return findings.found();
}

}  // namespace stepvideo::testing
