#include "plan/remedies.hpp"

#include <string>

#include <fmt/format.h>

#include "plan/text.hpp"

namespace stepvideo::plan {
namespace {

class RemedySearch {
 public:
  RemedySearch(const CostModel& model, int gpus) : model_(model), gpus_(gpus) {}

  std::vector<Remedy> run() {
    const bool can_stream = !model_.request().hardware.is_host;
    fewer_frames(false);
    lower_size(false);
    narrower_precision();
    if (can_stream) streamed();
    more_gpus();
    if (found_.empty() && can_stream) {
      fewer_frames(true);
      lower_size(true);
    }
    return std::move(found_);
  }

 private:
  static constexpr const char* streaming = "weights streamed from host memory";

  std::optional<Cost> at(VideoShape video, bool streams) const {
    return best_fitting(model_.with(video, streams || model_.request().streams_weights), gpus_);
  }
  void add(const std::string& change, bool streams, std::optional<Cost> cost) {
    if (cost) found_.push_back({streams ? change + " with " + streaming : change, *std::move(cost)});
  }

  /// The most whole chunks that fit; memory grows with each.
  void fewer_frames(bool streams) {
    VideoShape video = model_.request().video;
    int fitting = 0, too_many = video.chunks();
    std::optional<Cost> best;
    while (fitting + 1 < too_many) {
      const int middle = fitting + (too_many - fitting) / 2;
      video.frames = middle * VideoShape::chunk_frames;
      if (auto cost = at(video, streams)) {
        fitting = middle;
        best = std::move(cost);
      } else {
        too_many = middle;
      }
    }
    add(fmt::format("--frames {}", fitting * VideoShape::chunk_frames), streams, std::move(best));
  }

  /// The largest of the same proportions, by twentieths, then by halves.
  void lower_size(bool streams) {
    const VideoShape asked = model_.request().video;
    for (double scale = 0.95; scale > 1e-5; scale = scale > 0.06 ? scale - 0.05 : scale / 2) {
      VideoShape video = asked;
      video.height = static_cast<int>(scale * asked.height),
      video.width = static_cast<int>(scale * asked.width);
      video.height = video.nearest().height, video.width = video.nearest().width;
      if (auto cost = at(video, streams))
        return add(fmt::format("--width {} --height {}", video.width, video.height), streams,
                   std::move(cost));
    }
  }

  void narrower_precision() {
    Request request = model_.request();
    const auto& rates = request.hardware.rates;
    for (auto wide = static_cast<std::size_t>(request.arithmetic) + 1; wide < rates.size(); ++wide) {
      if (!rates[wide]) continue;
      request.arithmetic = all_arithmetics[wide];
      if (auto cost = best_fitting(CostModel(request), gpus_))
        return add(fmt::format("--precision {}", to_string(request.arithmetic)), false, std::move(cost));
    }
  }

  void streamed() {
    if (model_.request().streams_weights) return;
    if (auto cost = at(model_.request().video, true)) found_.push_back({streaming, *std::move(cost)});
  }

  void more_gpus() {
    if (model_.request().hardware.is_host) return;
    constexpr int most = 64;
    for (int gpus = gpus_ + 1; gpus <= most; ++gpus)
      if (auto cost = best_fitting(model_, gpus))
        return add(fmt::format("--gpus {}", gpus), false, std::move(cost));
  }

  const CostModel& model_;
  int gpus_;
  std::vector<Remedy> found_;
};

}  // namespace

std::vector<Remedy> find_remedies(const CostModel& model, int gpus) {
  return RemedySearch(model, gpus).run();
}

}  // namespace stepvideo::plan
