// A checkpoint's parts: files, tensors, and the identity of their list.
#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/checks.hpp"
#include "io/checkpoint.hpp"
#include "io/lfs_pointer.hpp"
#include "io/model_folder.hpp"
#include "io/weight_names.hpp"
#include "model/config.hpp"
#include "model/vae_config.hpp"

namespace stepvideo::doctor {
namespace {

namespace fs = std::filesystem;
using io::Component;

/// A part of the model, and where the release's download has it.
struct Part {
  const char* name;
  Component component;
  const char* files;
  /// The tensors that its configuration asks for; none for a part without tensors.
  std::vector<io::ExpectedTensor> (*expected)(const fs::path& place, const io::Checkpoint& checkpoint);
  /// Of the release's tensor list, where the release is told by it.
  const char* release_md5;
  bool allows_extra;
};

const std::array<Part, 6>& parts() {
  static const std::array<Part, 6> all{{
      {"transformer", Component::transformer, "transformer/*",
       [](const fs::path& place, const io::Checkpoint&) {
         return model::expected_tensors(model::read_transformer_config(place / "config.json"));
       },
       "5c0216a2132b082c10cb7a0e0377e681", false},
      {"step_llm", Component::step_llm, "step_llm/*",
       [](const fs::path& place, const io::Checkpoint&) {
         return model::expected_tensors(model::read_step_llm_config(place / "config.json"));
       },
       nullptr, false},
      {"clip", Component::clip_text_encoder, "hunyuan_clip/*",
       [](const fs::path& place, const io::Checkpoint&) {
         return model::expected_tensors(model::read_clip_text_config(place / "config.json"));
       },
       nullptr, true},
      {"vae", Component::vae, "vae/*",
       [](const fs::path&, const io::Checkpoint& checkpoint) {
         return model::expected_tensors(model::VaeConfig::of(checkpoint));
       },
       "68beaf8429b7c11aa8ca05b1bd0058bd", false},
      {"step_llm tokenizer", Component::step_llm_tokenizer, "step_llm/*", nullptr, nullptr, false},
      {"clip tokenizer", Component::clip_tokenizer, "hunyuan_clip/*", nullptr, nullptr, false},
  }};
  return all;
}

std::string download(const Part& part, const fs::path& model) {
  return fmt::format("hf download stepfun-ai/stepvideo-t2v --include '{}' --local-dir '{}'", part.files,
                     model.string());
}

/// The shards that the folder's index names and the folder lacks.
std::vector<std::string> missing_shards(const fs::path& folder) {
  std::vector<std::string> missing;
  std::error_code unused;
  if (!fs::is_directory(folder, unused)) return missing;
  std::set<std::string> named;
  for (const auto& entry : fs::directory_iterator(folder, unused)) {
    if (!io::is_index_name(entry.path().filename().string())) continue;
    const auto map = io::field<io::Json>(io::read_json(entry.path()), entry.path(), "weight_map");
    for (const auto& [tensor, shard] : map.items())
      if (shard.is_string()) named.insert(shard.get<std::string>());
  }
  for (const auto& shard : named)
    if (!fs::exists(folder / shard, unused)) missing.push_back(shard);
  return missing;
}

/// The message's first problem, and how many more there are.
std::string shortened(const std::string& message) {
  const auto end = message.find("; ");
  if (end == message.npos) return message;
  const auto more = std::ranges::count(message, ';');
  return fmt::format("{} (and {} more)", message.substr(0, end), more);
}

struct PartResult {
  Finding finding;
  double parameters = 0;
};

PartResult check_tensors(const Part& part, const fs::path& model, const fs::path& place) {
  Finding finding{.check = part.name, .found = {}, .wanted = "every tensor of its configuration", .fix = {}};
  const auto fail = [&](std::string found, std::string fix) {
    finding.verdict = Verdict::unfit;
    finding.found = std::move(found);
    finding.fix = std::move(fix);
    return PartResult{finding, 0};
  };
  try {
    if (const auto missing = missing_shards(place); !missing.empty())
      return fail(
          fmt::format("{} missing: {}", missing.size() == 1 ? "a shard" : "shards", fmt::join(missing, ", ")),
          download(part, model));
    const auto checkpoint = io::Checkpoint::open(place);
    const auto expected = part.expected(place, checkpoint);
    checkpoint.validate(expected, part.allows_extra);
    double parameters = 0;
    for (const auto& tensor : expected) parameters += static_cast<double>(io::element_count(tensor.shape));
    std::vector<io::ExpectedTensor> stored;
    for (const auto& [name, record] : checkpoint.tensors()) stored.push_back({name, record.shape});
    finding.found =
        fmt::format("{} tensors, {}", stored.size(), in_bytes(static_cast<double>(checkpoint.bytes())));
    if (part.release_md5 != nullptr) {
      const bool is_release = io::tensor_list_hash(stored) == part.release_md5;
      finding.found += is_release ? ", the release's list" : ", not the release's list";
    }
    return {finding, parameters};
  } catch (const Error& error) {
    return fail(shortened(error.what()), download(part, model));
  }
}

PartResult check_file(const Part& part, const fs::path& model, const fs::path& place) {
  std::error_code error;
  const auto bytes = fs::file_size(place, error);
  Finding finding{.check = part.name,
                  .found = fmt::format("{}, {} bytes", place.filename().string(), error ? 0 : bytes),
                  .wanted = "a file that is not empty",
                  .fix = {}};
  if (error || bytes == 0) {
    finding.verdict = Verdict::unfit;
    finding.fix = download(part, model);
  }
  std::string start(40, '\0');
  std::ifstream(place, std::ios::binary).read(start.data(), std::ssize(start));
  if (io::is_lfs_pointer(start)) {
    finding.verdict = Verdict::unfit;
    finding.found = place.filename().string() + " is a git-lfs pointer";
    finding.fix = fmt::format("git -C '{}' lfs pull", model.string());
  }
  return {finding, 0};
}

std::optional<Finding> check_fit(const Case& subject, double parameters) {
  if (parameters == 0 || !subject.is_on_cpu()) return {};
  const auto total = static_cast<double>(subject.machine.host.memory_bytes);
  Finding finding{.check = "model in memory",
                  .found = in_bytes(total),
                  .wanted = fmt::format("{} for the largest part in fp32, {} in bf16",
                                        in_bytes(4 * parameters), in_bytes(2 * parameters)),
                  .fix = {}};
  if (2 * parameters > total) {
    finding.verdict = Verdict::unfit;
    finding.fix = "stepvideo doctor --model models/demo";
  } else if (4 * parameters > total) {
    finding.verdict = Verdict::warning;
    finding.fix = "stepvideo generate --precision bf16";
  }
  return finding;
}

}  // namespace

Findings check_checkpoint(const Case& subject, const fs::path& model) {
  Findings findings;
  double most_parameters = 0;
  bool is_any_there = false;
  std::string first_refusal;
  std::optional<Finding> misfit;
  // The folder of one component is judged as that, not as a checkpoint that lacks the rest.
  std::error_code unused;
  const bool is_whole = fs::exists(model / "model_index.json", unused) ||
                        fs::is_directory(model / "transformer", unused) ||
                        fs::is_directory(model / "vae", unused);
  for (const auto& part : parts()) {
    fs::path place;
    try {
      place = io::find_component(model, part.component);
    } catch (const RequestError& error) {
      if (first_refusal.empty()) first_refusal = error.what();
      if (is_whole)
        findings.push_back({part.name, Verdict::unfit, "missing",
                            fmt::format("{} in {}", part.files, model.string()), download(part, model)});
      continue;
    }
    is_any_there = true;
    const auto [finding, parameters] =
        part.expected != nullptr ? check_tensors(part, model, place) : check_file(part, model, place);
    // Every part with a config.json may be what a component's own folder is; the one that fits is.
    if (!is_whole && place == model && finding.verdict == Verdict::unfit) {
      if (!misfit) misfit = finding;
      continue;
    }
    findings.push_back(finding);
    most_parameters = std::max(most_parameters, parameters);
  }
  require(is_any_there, [&] { return first_refusal; });
  if (findings.empty() && misfit) findings.push_back(*misfit);
  if (const auto fit = check_fit(subject, most_parameters)) findings.push_back(*fit);
  return findings;
}

}  // namespace stepvideo::doctor
