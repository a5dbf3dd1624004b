// Errors. A message is one sentence: it names the flag, tensor or file, says what was found and what
// would work.
#pragma once
#include <stdexcept>
#include <string>

#include <stepvideo/core/compiler.hpp>

namespace stepvideo {

/// The work failed although the request was sound (disk full, out of memory, NaN in a result).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The request itself was wrong: a shape, a size, a name, a file that cannot be what it should be.
class RequestError : public Error {
 public:
  using Error::Error;
};

/// Throws RequestError with `message()` unless `fact` holds. The message is built only when it is needed.
template <class Message>
constexpr void require(bool fact, Message&& message) {
  if (fact) return;
  if constexpr (requires { std::string(message()); }) {
    throw RequestError(message());
  } else {
    throw RequestError(std::string(message));
  }
}

}  // namespace stepvideo
