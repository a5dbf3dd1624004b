// Raw video that other tools read, written without libav.
#pragma once
#include <filesystem>
#include <fstream>
#include <string_view>

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
  void write_frame(std::span<const std::uint8_t> pixels) override;
  void publish() override;
  void write(std::string_view bytes);

  VideoOptions options_;
  PendingFile file_;
  std::ofstream stream_;
};

}  // namespace stepvideo::io
