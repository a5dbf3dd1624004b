// A manifest: beside frames, and as the text that other files carry.
#include <string>

#include <stepvideo/core/error.hpp>

#include "io/manifest.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const std::string text(text_of(file)), beside = "=== manifest.json\n" + text;
  (void)io::read_manifest(as_folder(std::as_bytes(std::span(beside)), {"manifest.json"}));
  const auto manifest = io::parse_manifest(text);
  if (!manifest) throw RequestError("it is the comment of another program");
  (void)io::parse_manifest(io::manifest_text(*manifest)).value();
}

}  // namespace stepvideo::fuzz
