// A safetensors file: its header, its tensors as every type that a model takes them as, and a VAE's shapes.
#include <stepvideo/core/error.hpp>

#include "io/checkpoint.hpp"
#include "model/vae_config.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {
namespace {

template <class Read>
void read_or_refuse(Read&& read) {
  try {
    read();
  } catch (const RequestError&) {
  }
}

}  // namespace

void read_file(Bytes file) {
  const auto checkpoint = io::Checkpoint::open(as_file(file));
  for (const auto& tensor : checkpoint.tensors()) {
    read_or_refuse([&] { checkpoint.load<float>(tensor.first); });
    read_or_refuse([&] { checkpoint.load<bf16>(tensor.first); });
    read_or_refuse([&] { checkpoint.load_integers(tensor.first); });
  }
  if (checkpoint.contains("decoder.conv_in.conv.weight"))
    read_or_refuse([&] { model::VaeConfig::of(checkpoint); });
}

}  // namespace stepvideo::fuzz
