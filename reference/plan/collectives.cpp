#include "plan/collectives.hpp"

#include <algorithm>

#include <stepvideo/comm/mesh.hpp>

namespace stepvideo::plan {
namespace {

constexpr double float_bytes = 4;

class CollectiveList {
 public:
  CollectiveList(const Link& link, Mesh mesh) : link_(link), mesh_(mesh) {}

  struct Call {
    const char* op;
    Axis axis;
    long long calls;
    double bytes;
    double hidden_seconds = 0;  ///< of computation that runs meanwhile
    double before_seconds = 0;  ///< of computation since the collective before: a late rank is late by that
  };

  void add(const Call& call, double link_bytes_per_second) {
    const double rate = mesh_.leaves_host(call.axis, link_.ranks_per_host)
                            ? std::min(link_bytes_per_second, link_.network_bytes_per_second)
                            : link_bytes_per_second;
    const double seconds = call.bytes / rate + link_.latency_seconds;
    list_.push_back(
        {.op = call.op,
         .ranks = mesh_.group(call.axis, 0).size,
         .calls = call.calls,
         .bytes = call.bytes,
         .seconds = seconds,
         .exposed_seconds = std::max(0.0, seconds - call.hidden_seconds),
         .deadline_seconds = deadline_factor * (seconds + call.before_seconds) + deadline_floor_seconds});
  }
  std::vector<CollectiveCost> take() { return std::move(list_); }

 private:
  const Link& link_;
  Mesh mesh_;
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
  CollectiveList list(link, Mesh{gpus});
  if (gpus.ulysses > 1) {
    const double others = static_cast<double>(gpus.ulysses - 1) / gpus.ulysses;
    list.add({.op = "all-to-all of q, k, v and the result",
              .axis = Axis::ulysses,
              .calls = 4LL * config.layers,
              .bytes = tokens * layer.heads * dim * element * others,
              .before_seconds = times.layer_seconds},
             link.all_to_all_bytes_per_second);
  }
  if (gpus.ring > 1)
    list.add({.op = "keys and values to the next rank",
              .axis = Axis::ring,
              .calls = static_cast<long long>(gpus.ring - 1) * config.layers,
              .bytes = 2 * share.batch() * layer.attended_queries * layer.attended_heads * dim * element,
              .hidden_seconds = times.attention_seconds / gpus.ring,
              .before_seconds = times.layer_seconds},
             link.send_bytes_per_second);
  if (gpus.tensor > 1) {
    // After both attentions and the feed forward: the sums of each rank's part of the tokens, and,
    // normalised, these to all.
    const double passes = static_cast<double>(gpus.tensor - 1) / gpus.tensor;
    list.add({.op = "layers' sums, in parts and gathered",
              .axis = Axis::tensor,
              .calls = 6LL * config.layers,
              .bytes = passes * tokens * config.width() * element,
              .before_seconds = times.layer_seconds},
             link.all_reduce_bytes_per_second);
  }
  if (gpus.token_shards() > 1)
    list.add({.op = "all-gather of the velocity",
              .axis = Axis::tokens,
              .calls = 1,
              .bytes = tokens * latent * (gpus.token_shards() - 1),
              .before_seconds = times.step_seconds},
             link.all_to_all_bytes_per_second);
  if (gpus.guidance > 1)
    list.add({.op = "exchange of the guided pair",
              .axis = Axis::guidance,
              .calls = 1,
              .bytes = static_cast<double>(request.video.tokens()) * latent,
              .before_seconds = times.step_seconds},
             link.send_bytes_per_second);
  return list.take();
}

}  // namespace stepvideo::plan
