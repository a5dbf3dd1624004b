// What ranks make sure of together: before any work, that they were asked for the same; between steps, that
// all of them stop or none.
#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <stepvideo/comm/communicator.hpp>
#include <stepvideo/core/execution.hpp>

namespace stepvideo {

/// Something that must be equal on all ranks: {"topology", "guidance=1,..."}, {"model", its digest}.
struct SharedFact {
  std::string name, value;
};

namespace agreement_detail {

/// Every member's text, by member.
template <Communicator C>
std::vector<std::string> gather_texts(C& communicator, Host, const Group& group, const std::string& mine) {
  const auto members = static_cast<std::size_t>(group.size);
  std::vector<index_t> sizes(members);
  const index_t size = std::ssize(mine);
  communicator.all_gather(host, group, VectorView<const index_t>{&size, 1}, std::vector<index_t>(members, 1),
                          VectorView<index_t>{sizes.data(), group.size});
  std::string all(static_cast<std::size_t>(sum_of(sizes)), '\0');
  communicator.all_gather(host, group, VectorView<const char>{mine.data(), size}, sizes,
                          VectorView<char>{all.data(), std::ssize(all)});
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (const index_t of_member : sizes) {
    texts.push_back(all.substr(at, static_cast<std::size_t>(of_member)));
    at += static_cast<std::size_t>(of_member);
  }
  return texts;
}

inline auto find_fact(const std::vector<SharedFact>& facts, const std::string& name) {
  return std::ranges::find(facts, name, &SharedFact::name);
}
/// "rank 1 has seed 2", "rank 1 has no weights"
inline std::string text_of(int rank, const std::vector<SharedFact>& facts, const std::string& name) {
  const auto found = find_fact(facts, name);
  return "rank " + std::to_string(rank) + " has " +
         (found == facts.end() ? "no " + name : name + " " + found->value);
}
/// Of the facts at `i`, where two ranks differ: what one of them lacks, or what both have.
inline std::string differing_name(const std::vector<SharedFact>& first, const std::vector<SharedFact>& other,
                                  std::size_t i) {
  if (i >= first.size()) return other[i].name;
  const bool is_lacking = i < other.size() && find_fact(other, first[i].name) != other.end() &&
                          find_fact(first, other[i].name) == first.end();
  return is_lacking ? other[i].name : first[i].name;
}

}  // namespace agreement_detail

/// Throws RequestError, the same on every rank, naming the first fact that differs, the ranks and both
/// values. Facts of one name each, in one order; a rank that has other facts differs in the first of them.
/// For the memory of the host.
template <Communicator C>
void require_same_facts(C& communicator, Host, const Group& group, std::span<const SharedFact> facts) {
  std::string mine;
  for (const auto& [name, value] : facts) mine += name + '\0' + value + '\0';
  const auto texts = agreement_detail::gather_texts(communicator, host, group, mine);
  const auto facts_of = [&](std::size_t member) {
    std::vector<SharedFact> of_member;
    for (std::string_view rest = texts[member]; !rest.empty();) {
      const auto take = [&] {
        const auto end = rest.find('\0');
        std::string word(rest.substr(0, end));
        rest.remove_prefix(end + 1);
        return word;
      };
      std::string name = take();
      of_member.push_back({std::move(name), take()});
    }
    return of_member;
  };
  const auto first = facts_of(0);
  for (int member = 1; member < group.size; ++member) {
    const auto other = facts_of(static_cast<std::size_t>(member));
    for (std::size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
      const bool is_same = i < first.size() && i < other.size() && first[i].name == other[i].name &&
                           first[i].value == other[i].value;
      require(is_same, [&] {
        const std::string name = agreement_detail::differing_name(first, other, i);
        return agreement_detail::text_of(group.rank(0), first, name) + " and " +
               agreement_detail::text_of(group.rank(member), other, name) +
               "; start all ranks with the same request, model and version";
      });
    }
  }
}

/// Whether some rank of the group asks to stop, the same answer on every rank: asked between steps, all of
/// them leave behind the same step. For the memory of the host.
template <Communicator C>
bool any_rank_stops(C& communicator, Host, const Group& group, bool this_one) {
  int stopping = this_one ? 1 : 0;
  communicator.all_reduce(host, group, VectorView<int>{&stopping, 1});
  return stopping > 0;
}

}  // namespace stepvideo
