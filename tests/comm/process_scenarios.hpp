// What ranks that are processes do in tests, over any wire.
#pragma once
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <stepvideo/comm/attention_across_ranks.hpp>
#include <stepvideo/comm/process_communicator.hpp>
#include <stepvideo/comm/rank_agreement.hpp>

#include "comm/communicator_cases.hpp"

namespace stepvideo::testing {

inline Group world_of(const ProcessCommunicator& communicator) {
  return {0, 1, communicator.ranks()};
}

inline void add_one(ProcessCommunicator& communicator, const Group& group) {
  std::vector<float> values{1};
  communicator.all_reduce(host, group, view_of(values));
}

inline void throw_what_was_found(const Findings& findings) {
  if (!findings.found().empty()) throw Error(findings.found().front());
}

/// Every collective along every axis of every topology of so many ranks.
inline void run_collectives(ProcessCommunicator& communicator) {
  Findings findings;
  for_each_topology(communicator.ranks(), [&](Topology gpus) {
    for (const Axis axis : every_axis) {
      const Group group = Mesh{gpus}.group(axis, communicator.rank());
      find_wrong_sums<float>(communicator, group, findings);
      find_wrong_sums<bf16>(communicator, group, findings);
      find_lost_elements<float>(communicator, group, findings);
      find_lost_elements<fp8_e4m3>(communicator, group, findings);
    }
  });
  throw_what_was_found(findings);
}

/// Attention on every topology of so many ranks has one rank's bits, or those of another mesh of its ring.
inline void run_attention(ProcessCommunicator& communicator) {
  constexpr HeadShape heads{.count = 7, .dim = 16};
  constexpr index_t batch = 2, tokens = 53;
  std::mt19937 engine(9);
  std::normal_distribution<float> normal;
  const auto make = [&] {
    std::vector<float> values(std::size_t(batch * tokens * heads.width()));
    for (float& value : values) value = normal(engine);
    return values;
  };
  const auto queries = make(), keys = make(), values = make();
  const auto whole = [&](auto& of) {
    return HeadsView{of.data(),
                     batch,
                     tokens,
                     index_t{heads.count},
                     index_t{heads.dim},
                     tokens * heads.width(),
                     index_t{heads.width()},
                     index_t{heads.dim}};
  };
  std::map<int, std::vector<float>> by_ring;
  std::vector<float> out(queries.size());
  attention(host, whole(queries), whole(keys), whole(values), FullMask{}, whole(out), {.scale = 0.25f});
  by_ring[1] = out;
  Findings findings;
  for_each_topology(communicator.ranks(), [&](Topology gpus) {
    gpus.sharding = Sharding::uneven;
    const Mesh mesh{gpus};
    const AttentionAcrossRanks<float, ProcessCommunicator> attend(communicator, mesh, heads);
    const Shard own = attend.tokens(tokens), own_heads = mesh.projected_heads(heads, communicator.rank());
    const auto share = [&](auto view) {
      view.data = view.row(0, own.first, own_heads.first);
      view.tokens = own.count, view.heads = own_heads.count;
      return view;
    };
    // What this rank does not write stays zero, so that a sum over the ranks of a prompt is the whole.
    std::vector<float> mine(out.size(), 0.0f);
    const Buffer<std::byte> memory(static_cast<index_t>(attend.workspace_bytes(batch, tokens)));
    attend(host, share(whole(queries)), share(whole(keys)), share(whole(values)), share(whole(mine)), tokens,
           Workspace(memory));
    communicator.all_reduce(host, mesh.group(Axis::prompt, communicator.rank()), view_of(mine));
    const auto& expected = by_ring.try_emplace(gpus.ring, mine).first->second;
    findings.require(std::ranges::equal(mine, expected), to_string(gpus) + " gives other bits");
  });
  throw_what_was_found(findings);
}

inline const std::map<std::string, std::function<void(ProcessCommunicator&)>> scenarios{
    {"collectives", run_collectives},
    {"attention", run_attention},
    {"throw",
     [](ProcessCommunicator& communicator) {
       for (int step = 0;; ++step) {
         if (communicator.rank() == 1 && step == 3) throw Error("no memory");
         add_one(communicator, world_of(communicator));
       }
     }},
    {"throw_far_away",  // 0 waits for 1, which waits for 2
     [](ProcessCommunicator& communicator) {
       const int rank = communicator.rank();
       if (rank == 2) throw Error("no memory");
       add_one(communicator, rank == 0 ? Group{0, 1, 2} : Group{1, 1, 2});
     }},
    {"end_early",
     [](ProcessCommunicator& communicator) {
       if (communicator.rank() != 1) add_one(communicator, world_of(communicator));
     }},
    {"mismatch",
     [](ProcessCommunicator& communicator) {
       std::vector<float> values(4 + std::size_t(communicator.rank()));
       communicator.all_reduce(host, world_of(communicator), view_of(values));
     }},
    {"other_request",
     [](ProcessCommunicator& communicator) {
       const std::vector<SharedFact> facts{{"topology", "ulysses=3"},
                                           {"model", communicator.rank() == 2 ? "ff00" : "ab12"}};
       require_same_facts(communicator, host, world_of(communicator), facts);
     }},
    {"other_group",
     [](ProcessCommunicator& communicator) {
       const bool both = communicator.rank() < 2;
       add_one(communicator, communicator.rank() == 0 && both ? Group{0, 1, 2} : world_of(communicator));
     }},
    {"kill",
     [](ProcessCommunicator& communicator) {
       add_one(communicator, world_of(communicator));
       if (communicator.rank() == 1) std::raise(SIGKILL);
       add_one(communicator, world_of(communicator));
     }},
};

/// The rank's part of a scenario. Prints what it finds; returns the exit code, 1 where something was found or
/// thrown.
inline int run_scenario(RankWire& wire, const std::string& name) {
  const auto scenario = scenarios.find(name);
  if (scenario == scenarios.end()) return 2;
  try {
    ProcessMessages messages(wire);
    run_on_processes(messages, [&](ProcessCommunicator& communicator) {
      try {
        scenario->second(communicator);
      } catch (const std::exception& error) {
        // Here, where all ranks are still there: a launcher ends the others when the first has gone.
        std::fprintf(stderr, "%s\n", error.what());
        throw;
      }
    });
  } catch (const std::exception&) {
    return 1;
  }
  return 0;
}

}  // namespace stepvideo::testing
