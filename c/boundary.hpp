// Between C and C++: exceptions become statuses with a sentence, executions become the library's.
#pragma once
#include <exception>
#include <new>
#include <utility>

#include <stepvideo/core/error.hpp>
#include <stepvideo/core/execution.hpp>

#include "place.hpp"
#include "stepvideo_c.h"

namespace stepvideo::c_abi {

/// Keeps what stepvideo_last_error() says to this thread.
stepvideo_status keep(stepvideo_status status, const char* sentence) noexcept;

/// Calls `body()`; what it throws becomes a status and a sentence.
template <class Body>
stepvideo_status guarded(Body&& body) noexcept {
  try {
    body();
    return STEPVIDEO_OK;
  } catch (const RequestError& error) {
    return keep(STEPVIDEO_REFUSED, error.what());
  } catch (const std::bad_alloc&) {
    return keep(STEPVIDEO_FAILED,
                "out of memory: the host has none left for this call; a smaller one may fit");
  } catch (const std::exception& error) {
    return keep(STEPVIDEO_FAILED, error.what());
  } catch (...) {
    return keep(STEPVIDEO_FAILED, "the call failed and what it threw says nothing; please report it");
  }
}

/// The GPU of `ordinal` is the current one while this lives. Throws RequestError where there is none such.
class CurrentGpu {
 public:
  CurrentGpu(const char* call, int ordinal);
  ~CurrentGpu();
  CurrentGpu(const CurrentGpu&) = delete;
  CurrentGpu& operator=(const CurrentGpu&) = delete;

 private:
  int before_ = 0;
};

/// Waits until the GPU has done all its work. Failures are ignored: they are told to who makes the next call.
void wait_for_gpu(int ordinal) noexcept;

/// Where this execution is. Throws RequestError where there is no such execution.
Place place_of(const char* call, const stepvideo_execution* execution);

/// Calls `function(execution)` with Host or with the Device whose GPU is current during the call.
template <class Function>
void on([[maybe_unused]] const char* call, Place place, [[maybe_unused]] const stepvideo_execution* execution,
        Function&& function) {
  if (!place.gpu) return function(Host{});
#ifdef STEPVIDEO_C_WITH_CUDA  // place_of() refuses a GPU otherwise
  const CurrentGpu current(call, *place.gpu);
  function(Device{.stream = static_cast<CUstream_st*>(execution->stream)});
#endif
}

}  // namespace stepvideo::c_abi
