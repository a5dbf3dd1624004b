#include "pipeline/preview.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io/pending_file.hpp"
#include "io/png.hpp"
#include "io/video.hpp"

namespace stepvideo::pipeline {
namespace {

namespace fs = std::filesystem;

/// How many chunks stand for a long video.
constexpr int most_pictures = 4;

/// %d or %05d in a name: where it stands and how many digits it asks for.
struct Pattern {
  std::size_t begin = 0, length = 0;
  int digits = 0;
};

std::optional<Pattern> pattern_in(const std::string& name) {
  const auto percent = name.find('%');
  if (percent == name.npos || name.find('%', percent + 1) != name.npos) return {};
  const auto letter = name.find_first_not_of("0123456789", percent + 1);
  if (letter == name.npos || name[letter] != 'd') return {};
  int digits = 1;
  const auto width = std::string_view(name).substr(percent + 1, letter - percent - 1);
  if (!width.empty() && std::from_chars(width.data(), width.data() + width.size(), digits).ec != std::errc{})
    return {};
  if (digits < 1 || digits > 9) return {};
  return Pattern{percent, letter + 1 - percent, digits};
}

bool is_pattern(const fs::path& path) {
  return path.filename().string().find('%') != std::string::npos;
}

/// The path as a pattern, where it is a folder, too.
fs::path pattern_of(const fs::path& path) {
  return is_pattern(path) ? path : path / "step_%05d.png";
}

/// What processes that died while they wrote a preview of any step left.
void remove_abandoned_previews(const fs::path& path) {
  const std::string name = pattern_of(path).filename().string();
  const Pattern pattern = pattern_in(name).value();
  const std::string before = name.substr(0, pattern.begin),
                    after = name.substr(pattern.begin + pattern.length);
  io::remove_abandoned_in(io::folder_of(pattern_of(path)), [&](const std::string& file) {
    return file.starts_with(before) && file.ends_with(after);
  });
}

std::pair<int, int> terminal_size() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {80, 24};
  return {size.ws_col, size.ws_row};
}

}  // namespace

std::vector<int> preview_frames(LatentShape shape, int most) {
  const int chunk = shape.frames == 1 ? 1 : VideoShape::chunk_latent_frames;
  const int chunks = shape.frames / chunk, count = std::min(chunks, most);
  std::vector<int> frames;
  for (int i = 0; i < count; ++i) frames.push_back((count == 1 ? 0 : i * (chunks - 1) / (count - 1)) * chunk);
  return frames;
}

Latents estimate_frame(const Latents& latents, LatentsView<const float> velocities, float sigma,
                       float guidance, int frame) {
  const LatentShape shape{1, latents.shape.height, latents.shape.width};
  Latents estimate{shape, latents.channels, Buffer<float>(shape.tokens() * latents.channels)};
  const index_t size = estimate.size(), first = frame * size;
  const float* const prompt = velocities.data + first;
  const float* const negative = prompt + (velocities.batch - 1) * latents.size();
  for (index_t i = 0; i < size; ++i) {
    const float velocity = negative[i] + guidance * (prompt[i] - negative[i]);
    estimate.values[i] = latents.values[first + i] + (1 - sigma) * velocity;
  }
  return estimate;
}

Picture side_by_side(const std::vector<Picture>& pictures) {
  const int height = pictures.front().height, width = pictures.front().width, gap = std::max(1, width / 32);
  const int count = static_cast<int>(pictures.size()), all = count * width + (count - 1) * gap;
  Picture row{height, all, Buffer<float>(index_t{3} * height * all)};
  std::ranges::fill(row.pixels, -1.0f);
  for (int i = 0; i < count; ++i)
    for (index_t y = 0; y < height; ++y)
      std::copy_n(pictures[static_cast<std::size_t>(i)].pixels.data() + y * width * 3, index_t{3} * width,
                  row.pixels.data() + (y * all + index_t{i} * (width + gap)) * 3);
  return row;
}

void PreviewOptions::check() const {
  require((every > 0) == !path.empty(), [&] {
    return path.empty() ? "--preview-every has no --preview-path; give the folder for its PNG files"
                        : "--preview-path has no --preview-every; give the steps between two PNG files";
  });
  if (every == 0) return;
  if (is_pattern(path)) {
    require(pattern_in(path.filename().string()).has_value(), [&] {
      return fmt::format(
          "--preview-path: {} is no pattern; a folder, or a name with one %d or %05d in it, works",
          path.string());
    });
    io::require_writable_output("--preview-path", path, {".png"});
  } else {
    std::error_code unused;
    const fs::path folder = path.has_filename() ? path : path.parent_path();
    require(!fs::exists(folder, unused) || fs::is_directory(folder, unused), [&] {
      return fmt::format("--preview-path: {} is a file; a folder, or a name with %05d in it, works",
                         path.string());
    });
    io::require_writable_output(
        "--preview-path", fs::is_directory(folder, unused) ? file(1) : fs::path(folder) += ".png", {".png"});
  }
  io::detail::require_encoder("--preview-path", io::VideoKind::png_folder);
  remove_abandoned_previews(path);
}

fs::path PreviewOptions::file(int step) const {
  const fs::path all = pattern_of(path);
  std::string name = all.filename().string();
  const Pattern pattern = pattern_in(name).value();
  name.replace(pattern.begin, pattern.length, fmt::format("{:0{}}", step, pattern.digits));
  return all.parent_path() / name;
}

Preview::Preview(PreviewOptions options, FrameDecoder decode, Progress& progress)
    : options_(std::move(options)), decode_(std::move(decode)), progress_(progress) {
  options_.in_terminal = options_.in_terminal && progress_.can_draw();
}

void Preview::show(const StepState& step, Stage& stage) {
  const bool is_file_due = options_.every > 0 && (step.step % options_.every == 0 || step.step == step.steps);
  const bool draws = is_due_in_terminal(step);
  if (has_failed_ || (!is_file_due && !draws)) return;
  const auto begin = Clock::now();
  try {
    const Picture picture = picture_of(step);
    if (is_file_due) {
      const fs::path file = options_.file(step.step);
      fs::create_directory(io::folder_of(file));
      io::write_png(file, {picture.pixels.data(), 1, picture.height, picture.width, 3});
    }
    if (draws) {
      const auto [columns, rows] = terminal_size();
      progress_.draw(half_blocks(picture, columns - 1, std::max(1, rows - 3)));
    }
  } catch (const std::exception& error) {
    has_failed_ = true;
    stage.warn(fmt::format("no more previews: {}", error.what()));
  }
  spent_ += Clock::now() - begin;
}

/// The first and the last step are shown; between them drawing takes at most half of the time.
bool Preview::is_due_in_terminal(const StepState& step) const {
  if (!options_.in_terminal) return false;
  return spent_ == Clock::duration{} || step.step == step.steps || 2 * spent_ <= Clock::now() - begin_;
}

Picture Preview::picture_of(const StepState& step) const {
  std::vector<Picture> pictures;
  for (const int frame : preview_frames(step.latents.shape, most_pictures))
    pictures.push_back(
        decode_(estimate_frame(step.latents, step.velocities, step.sigma, step.guidance, frame)));
  return side_by_side(pictures);
}

}  // namespace stepvideo::pipeline
