// Facts of the machine that this program runs on. NVIDIA's libraries are found at run time, each in a child
// process with a deadline: a library that crashes or hangs becomes a fact, too.
#pragma once
#include <chrono>
#include <filesystem>

#include "doctor/machine_facts.hpp"

namespace stepvideo::doctor {

/// `output` is where results would be written: a folder, or a file in one. Where no GPU is found, libraries
/// are waited for only if `is_thorough`: nothing else depends on them then, and they are slow to load.
MachineFacts probe_machine(const std::filesystem::path& output, bool is_thorough);

BuildFacts this_build();
HostFacts probe_host(const std::filesystem::path& output);
/// The variables that this program, its libraries, or programs that people confuse it with listen to; no
/// others, so that a recorded machine keeps its owner's secrets.
std::map<std::string, std::string> probe_environment();
/// Fills driver, gpus and links.
void probe_gpus(MachineFacts& facts);
std::vector<LibraryFacts> probe_libraries(std::chrono::milliseconds deadline);

}  // namespace stepvideo::doctor
