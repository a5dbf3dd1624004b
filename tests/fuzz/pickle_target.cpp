// A pickle, which a fuzzer may lengthen without having to mend the archive around it: that is made here, with
// one storage.
#include <string>

#include "io/torch_archive.hpp"
#include "reference/torch_writer.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const std::string archive = testing::torch_file(std::string(text_of(file)), {{"0", std::string(64, '\0')}});
  (void)io::read_torch_archive(std::as_bytes(std::span(archive)), "weights.bin");
}

}  // namespace stepvideo::fuzz
