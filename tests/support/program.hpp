// Runs the program as a user would.
#pragma once
#include <cstdlib>
#include <string>
#include <vector>

#include <sys/wait.h>

#include "support/scratch_folder.hpp"

namespace stepvideo::testing {

struct ProgramResult {
  int exit_code = -1;
  std::string output, errors;
};

/// stepvideo ARGUMENTS, waited for; `environment` is put in front, as in "OMP_NUM_THREADS=1".
inline ProgramResult run_program(const std::vector<std::string>& arguments,
                                 const std::string& environment = "") {
  const ScratchFolder scratch;
  std::string line = environment + " '" STEPVIDEO_PROGRAM "'";
  for (const std::string& argument : arguments) {
    line += " '";
    for (char c : argument) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += "'";
  }
  line += " >'" + (scratch / "out").string() + "' 2>'" + (scratch / "err").string() + "' </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch / "out"),
          read_text(scratch / "err")};
}

}  // namespace stepvideo::testing
