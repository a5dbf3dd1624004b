// What a layer of the video VAE is given beside its memory.
#pragma once
#include <algorithm>
#include <string>
#include <type_traits>

#include <stepvideo/core/buffer.hpp>
#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>

namespace stepvideo::model::vae {

enum class Work { norm, convolution, attention, other };

/// What sees a network at work: tests its results, a bench its times.
class Observer {
 public:
  virtual ~Observer() = default;
  /// The execution was given a piece of work of a layer of `section`: "level 0", say. Norms and what else
  /// only moves values count no operations.
  virtual void did(const char* /*section*/, Work, double /*flops*/) {}
  /// Whether results are to be copied to the host for result().
  virtual bool wants_results() const { return false; }
  /// Each named layer's result, as it is made: of a run of frames, where not all go together.
  virtual void result(const std::string& /*layer*/, VideoView<const float> /*in the host's memory*/) {}
};

/// Where layers run, and which frames. Of a video's frames those of a run follow `past_frames` others, whose
/// last ones the convolutions have kept; where the run `goes_on` they keep theirs.
template <Execution E>
struct Run {
  E execution{};
  Workspace scratch{};  ///< for the kernels that ask for some
  Workspace moments{};  ///< where a GPU's convolution leaves those of its result for the norm that comes next
  Observer* observer = nullptr;
  const char* section = "";
  index_t past_frames = 0;
  bool goes_on = false;

  void did(Work work, double flops = 0) const {
    if (observer != nullptr) observer->did(section, work, flops);
  }
  Run in(const char* other_section) const {
    Run run = *this;
    run.section = other_section;
    return run;
  }
  /// The frames [first, first + count) of `frames`.
  Run of_frames(index_t first, index_t count, index_t frames) const {
    Run run = *this;
    run.past_frames = first;
    run.goes_on = first + count < frames;
    return run;
  }
  template <class T>
  void show(const std::string& layer, VideoView<T> video) const {
    if (observer == nullptr || !observer->wants_results()) return;
    using Value = std::remove_const_t<T>;
    Buffer<Value> values(video.size());
    download(execution, VectorView<Value>{const_cast<Value*>(video.data), video.size()}, values.data());
    Buffer<float> floats(video.size());
    std::copy(values.begin(), values.end(), floats.begin());
    observer->result(layer, {floats.data(), video.frames, video.height, video.width, video.channels});
  }
};

}  // namespace stepvideo::model::vae
