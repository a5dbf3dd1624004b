// How alike pictures are that should be the same.
#pragma once
#include <cstdint>

#include <stepvideo/core/view.hpp>

namespace stepvideo::pipeline {

/// Of planes of samples: PSNR over all samples, and SSIM (Wang et al., "Image Quality Assessment: From Error
/// Visibility to Structural Similarity") as the mean over windows of 8 x 8 samples that begin every 4, of
/// equal weights. The same values for any number of threads.
class Similarity {
 public:
  /// `range`: from the least value that there can be to the greatest.
  explicit Similarity(double range) : range_(range) {}

  /// The next plane, (height, width), of both: a sample's neighbour in a row lies `step` samples on.
  void add(const std::uint8_t* one, const std::uint8_t* other, index_t height, index_t width,
           index_t step = 1);
  void add(const float* one, const float* other, index_t height, index_t width, index_t step = 1);
  /// What another one has seen, too.
  void add(const Similarity& other);

  /// In dB; infinite where nothing differs.
  double psnr() const;
  /// 1 where nothing differs.
  double ssim() const { return windows_ > 0 ? ssim_ / windows_ : 1; }

 private:
  template <class T>
  void add_plane(const T* one, const T* other, index_t height, index_t width, index_t step);

  double range_;
  double squared_error_ = 0, samples_ = 0, ssim_ = 0, windows_ = 0;
};

}  // namespace stepvideo::pipeline
