// What a user asks of generate, by flags or by a line of a file, and how it becomes a complete request.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "commands/options.hpp"
#include "commands/prompt_flags.hpp"
#include "commands/sampling_flags.hpp"
#include "pipeline/request.hpp"

namespace stepvideo::commands {

/// What is said; what is silent is taken from elsewhere.
struct Wishes : PromptFlags {
  SamplingFlags sampling;

  /// These wishes, and those of `others` where these are silent.
  Wishes over(const Wishes& others) const;
};

/// The complete request: the wishes, whose seed is settled, then `base`, the request of an earlier run, then
/// the defaults of the checkpoint. Throws RequestError: no prompt, a prompt that is not UTF-8, a size off the
/// grid.
pipeline::Request complete(const Wishes& wishes, const std::optional<pipeline::Request>& base,
                           const std::filesystem::path& model, const CommonOptions& common);

/// The request that the manifest of a video or a step file tells, with generate's manifest itself: a video
/// that decode made from a step file tells it in its source. Throws RequestError naming `file` when it tells
/// none.
io::Json generate_manifest_of(const std::filesystem::path& file, const std::string& flag);

/// One line of a file of prompts, or one element where the file is a JSON array.
struct PromptLine {
  int number = 0;     ///< in the file, from 1
  std::string where;  ///< "FILE line 3", as messages call it
  Wishes wishes;
  std::string output;  ///< the name of the file to write; empty: by number
};

/// Reads a file of prompts: a line is a prompt, or, where it begins with '{', a JSON object with `prompt` and
/// any of `prompt_suffix`, `negative`, `seed`, `frames`, `height`, `width`, `steps`, `cfg_scale`,
/// `time_shift` and `output`. A file that is one JSON array holds such objects, or prompts as strings. Lines
/// end as on any system (LF, CR LF or CR); white space around them, of Unicode's too, and byte order marks
/// are passed over, as empty lines are. The file may be a pipe. Throws RequestError naming file and line: not
/// UTF-8 (UTF-16 by its name), control characters, not JSON, a name that is not known (with the nearest), a
/// value of another kind, no prompt, an output that is no plain file name; a file without a prompt.
std::vector<PromptLine> read_prompts(const std::filesystem::path& file);

}  // namespace stepvideo::commands
