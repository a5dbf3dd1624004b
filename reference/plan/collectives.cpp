#include "plan/collectives.hpp"

#include <algorithm>

namespace stepvideo::plan {
namespace {

constexpr double float_bytes = 4;

class CollectiveList {
 public:
  explicit CollectiveList(const Link& link) : link_(link) {}

  struct Call {
    const char* op;
    int ranks, stride;  ///< of the mesh: comm/mesh.hpp
    long long calls;
    double bytes;
    double hidden_seconds = 0;  ///< of computation that runs meanwhile
    double before_seconds = 0;  ///< of computation since the collective before: a late rank is late by that
  };

  void add(const Call& call, double link_bytes_per_second) {
    const bool leaves_host = static_cast<long long>(call.ranks) * call.stride > link_.ranks_per_host;
    const double rate =
        leaves_host ? std::min(link_bytes_per_second, link_.network_bytes_per_second) : link_bytes_per_second;
    const double seconds = call.bytes / rate + link_.latency_seconds;
    list_.push_back(
        {.op = call.op,
         .ranks = call.ranks,
         .calls = call.calls,
         .bytes = call.bytes,
         .seconds = seconds,
         .exposed_seconds = std::max(0.0, seconds - call.hidden_seconds),
         .deadline_seconds = deadline_factor * (seconds + call.before_seconds) + deadline_floor_seconds});
  }
  std::vector<CollectiveCost> take() { return std::move(list_); }

 private:
  const Link& link_;
  std::vector<CollectiveCost> list_;
};

}  // namespace

std::vector<CollectiveCost> collectives_of(const Request& request, Topology gpus, const RankShare& share,
                                           const StepTimes& times) {
  const auto& config = request.shapes.transformer;
  const Link& link = request.link;
  const LayerShare& layer = share.layer();
  const double element = element_bytes(request.arithmetic), dim = config.heads.dim;
  const double tokens = share.batch() * layer.tokens;
  const double latent = float_bytes * config.out_channels;
  CollectiveList list(link);
  if (gpus.ulysses > 1) {
    const double others = static_cast<double>(gpus.ulysses - 1) / gpus.ulysses;
    list.add({.op = "all-to-all of q, k, v and the result",
              .ranks = gpus.ulysses,
              .stride = gpus.tensor,
              .calls = 4LL * config.layers,
              .bytes = tokens * layer.heads * dim * element * others,
              .before_seconds = times.layer_seconds},
             link.all_to_all_bytes_per_second);
  }
  if (gpus.ring > 1)
    list.add({.op = "keys and values to the next rank",
              .ranks = gpus.ring,
              .stride = gpus.tensor * gpus.ulysses,
              .calls = static_cast<long long>(gpus.ring - 1) * config.layers,
              .bytes = 2 * share.batch() * layer.attended_queries * layer.attended_heads * dim * element,
              .hidden_seconds = times.attention_seconds / gpus.ring,
              .before_seconds = times.layer_seconds},
             link.send_bytes_per_second);
  if (gpus.tensor > 1) {
    // After both attentions and the feed forward.
    const double passes = 2.0 * (gpus.tensor - 1) / gpus.tensor;
    list.add({.op = "all-reduce of the layers' results",
              .ranks = gpus.tensor,
              .stride = 1,
              .calls = 3LL * config.layers,
              .bytes = passes * tokens * config.width() * element,
              .before_seconds = times.layer_seconds},
             link.all_reduce_bytes_per_second);
  }
  if (gpus.token_shards() > 1)
    list.add({.op = "all-gather of the velocity",
              .ranks = gpus.token_shards(),
              .stride = gpus.tensor,
              .calls = 1,
              .bytes = tokens * latent * (gpus.token_shards() - 1),
              .before_seconds = times.step_seconds},
             link.all_to_all_bytes_per_second);
  if (gpus.guidance > 1)
    list.add({.op = "exchange of the guided pair",
              .ranks = gpus.guidance,
              .stride = gpus.tensor * gpus.ulysses * gpus.ring,
              .calls = 1,
              .bytes = static_cast<double>(request.video.tokens()) * latent,
              .before_seconds = times.step_seconds},
             link.send_bytes_per_second);
  return list.take();
}

}  // namespace stepvideo::plan
