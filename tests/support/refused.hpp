// Requests that must be refused.
#pragma once
#include <string>

#include <boost/test/unit_test.hpp>

#include <stepvideo/core/error.hpp>

namespace stepvideo::testing {

/// `call()` must be refused with a message that holds `text`.
template <class Call>
void check_refused(Call&& call, const char* text) {
  BOOST_CHECK_EXCEPTION(call(), RequestError, [&](const RequestError& error) {
    return std::string(error.what()).find(text) != std::string::npos;
  });
}

}  // namespace stepvideo::testing
