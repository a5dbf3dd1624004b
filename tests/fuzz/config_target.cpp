// A component's config.json, and the tensors that it asks for.
#include <functional>
#include <optional>

#include <stepvideo/core/error.hpp>

#include "model/config.hpp"
#include "target.hpp"

namespace stepvideo::fuzz {

void read_file(Bytes file) {
  const auto path = as_file(file);
  std::optional<RequestError> refusal;
  int accepted = 0;
  const auto read = [&](auto&& config_of) {
    try {
      (void)model::expected_tensors(config_of(path));
      ++accepted;
    } catch (const RequestError& error) {
      refusal = error;
    }
  };
  read(model::read_transformer_config);
  read(model::read_step_llm_config);
  read(model::read_clip_text_config);
  if (accepted == 0) throw *refusal;
}

}  // namespace stepvideo::fuzz
