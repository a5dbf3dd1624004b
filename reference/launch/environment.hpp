// What a launcher of processes says to each of them.
#pragma once
#include <charconv>
#include <cstdlib>
#include <string_view>

namespace stepvideo::launch {

/// A whole number of the environment above 0, or `otherwise`.
inline int number_in_environment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return otherwise;
  const std::string_view digits = text;
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return error == std::errc{} && end == digits.data() + digits.size() && number > 0 ? number : otherwise;
}

/// How many processes MPI's launcher (mpirun, or srun with PMI) started for this run; 1 without one.
inline int launched_processes() {
  return number_in_environment("OMPI_COMM_WORLD_SIZE", number_in_environment("PMI_SIZE", 1));
}
/// How many of them are on this host.
inline int launched_processes_here() {
  return number_in_environment("OMPI_COMM_WORLD_LOCAL_SIZE", number_in_environment("MPI_LOCALNRANKS", 1));
}

}  // namespace stepvideo::launch
