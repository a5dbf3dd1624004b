// A model's folder: the index of its shards, the shards, and what its small files say.
#include "io/checkpoint.hpp"
#include "io/model_folder.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto folder =
      as_folder(file, {"model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors",
                       "config.json", "model_index.json", "scheduler/scheduler_config.json"});
  io::require_known_scheduler(folder);
  (void)io::read_generation_defaults(folder);
  (void)io::find_component(folder, io::Component::transformer);
  const auto checkpoint = io::Checkpoint::open(folder);
  for (const auto& tensor : checkpoint.tensors()) (void)checkpoint.load<float>(tensor.first);
}

}  // namespace stepvideo::fuzz
