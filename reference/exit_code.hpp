// How a program ends that has nothing more to say.
#pragma once

namespace stepvideo {

/// Thrown where everything has been said and the program ends with a code other than 0.
struct ExitCode {
  int value;
};

}  // namespace stepvideo
