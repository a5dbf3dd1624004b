// Where a run's models and their weights come from.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"
#include "model/noise_source.hpp"
#include "model/parameter.hpp"

namespace stepvideo::pipeline {

/// A checkpoint: its folder, or that of the one component that a command needs. With a seed its shapes, and
/// normal noise (model/noise_source.hpp) for weights; then without a folder the release's shapes.
struct ModelSource {
  std::filesystem::path folder;
  std::optional<std::uint64_t> seed = {};

  /// What `read` makes of the component's config.json; the release's where there is no folder.
  template <class Config>
  Config config(io::Component component, Config (&read)(const std::filesystem::path&)) const {
    return folder.empty() ? Config{} : read(io::find_component(folder, component) / "config.json");
  }
};

/// One model's tensors: files, or normal noise of a seed where there is one.
struct Weights {
  io::Checkpoint files;
  std::optional<std::uint64_t> seed = {};

  /// Opens the component and checks every tensor, as Checkpoint::validate does; loads no weights. Throws
  /// RequestError naming what is missing or wrong.
  static Weights open(const ModelSource& model, io::Component component,
                      const std::vector<io::ExpectedTensor>& expected, bool allows_extra = false) {
    if (model.seed) return {{}, model.seed};
    Weights weights{io::Checkpoint::open(io::find_component(model.folder, component))};
    weights.files.validate(expected, allows_extra);
    return weights;
  }

  /// For a message: "PATH", or "random weights".
  std::string name() const { return seed ? std::string("random weights") : files.path().string(); }

  /// make(source) of a source that fills the host's memory.
  template <class Make>
  auto on_host(const std::vector<io::ExpectedTensor>& expected, bool allows_extra, Make&& make) const {
    return seed ? make(model::NoiseSource<Host>(host, expected, *seed))
                : make(model::CheckpointSource(files, expected, allows_extra));
  }
};

}  // namespace stepvideo::pipeline
