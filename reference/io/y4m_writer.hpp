// Raw video that other tools read, written without libav.
#pragma once
#include <filesystem>
#include <fstream>
#include <vector>

#include "io/pending_file.hpp"
#include "io/video.hpp"

namespace stepvideo::io {

/// .y4m: 8 bits, limited range, in the matrix that players assume for the height (BT.601 below 720 lines,
/// BT.709 from there: the header cannot name one), 4:4:4, or 4:2:0 with the mean of each four colours. The
/// same bytes for any number of threads. The manifest is the file NAME.y4m.json.
class Y4mWriter final : public VideoWriter {
 public:
  /// Throws Error when the file cannot be created.
  Y4mWriter(const std::filesystem::path& path, VideoShape shape, VideoOptions options);

 private:
  void write_frame(const float* pixels) override;
  void publish() override;
  void write(const char* bytes, std::size_t count);

  VideoOptions options_;
  bool halves_colour_;
  PendingFile file_;
  std::ofstream stream_;
  std::vector<unsigned char> planes_;  // of one frame: Y, Cb, Cr
  std::vector<float> colours_;         // Cb and Cr of each pixel, before they are averaged
};

}  // namespace stepvideo::io
