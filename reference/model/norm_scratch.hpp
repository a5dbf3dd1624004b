// What a GPU's GroupNorms ask for beside the videos that they read and write.
#pragma once
#include <algorithm>
#include <cstddef>

#include <stepvideo/core/execution.hpp>
#include <stepvideo/core/view.hpp>
#include <stepvideo/core/workspace.hpp>
#include <stepvideo/kernels/norm/group_norm_tiling.hpp>
#include <stepvideo/kernels/tile/part_moments.hpp>

#include "model/vae_config.hpp"

namespace stepvideo::model::vae {

struct NormScratch {
  std::size_t norms = 0;    ///< their own workspace
  std::size_t moments = 0;  ///< what the convolution before may leave for one

  std::size_t bytes() const { return norms + moments; }
  NormScratch or_more(const NormScratch& other) const {
    return {std::max(norms, other.norms), std::max(moments, other.moments)};
  }

  /// Of a norm that reads or writes `video`. A convolution leaves the moments of two parts of each of its
  /// tiles, of 256 pixels and 8 or more wide and high, which cover the result or, after a doubling, each of
  /// the four halves of its rows and columns.
  template <class T>
  static NormScratch of(const VideoView<T>& video) {
    const index_t tiles = video.height * video.width / 256 + (video.height + video.width) / 2 + 8;
    return {group_norm_workspace(device, video),
            workspace_bytes<PartMoments>(video.frames * 2 * tiles * VaeConfig::norm_groups)};
  }
};

}  // namespace stepvideo::model::vae
