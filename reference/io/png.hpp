// Single images.
#pragma once
#include <filesystem>
#include <string>

#include <stepvideo/core/view.hpp>

namespace stepvideo::io {

/// "frame_00042.png".
std::string png_frame_name(int frame);
bool is_png_frame_name(const std::string& name);

/// The file in a folder of frames that says what made them.
inline constexpr const char* png_folder_manifest = "manifest.json";

/// Whether a file of that name belongs to a folder of frames.
inline bool is_of_png_folder(const std::string& name) {
  return is_png_frame_name(name) || name == png_folder_manifest;
}

/// Writes one frame, RGB in [-1, 1], as 8 bits a channel. The file has its name when it is whole. Throws
/// Error when the disk refuses, RequestError when the build cannot write PNG files.
void write_png(const std::filesystem::path& path, VideoView<const float> frame);

}  // namespace stepvideo::io
