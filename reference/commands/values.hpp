// Values of flags that are more than a word or a number.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include <stepvideo/core/topology.hpp>

namespace stepvideo::commands {

/// "guidance=2,tensor=1,ulysses=5,ring=1,sharding=uneven", as to_string() writes it, in capitals or not;
/// degrees left out are 1, shards even. Throws RequestError naming --topology.
Topology parse_topology(std::string_view text);

/// "6GB", "500 MB", "5.5GiB", or bytes, in capitals or not; 1 or more. Throws RequestError naming the flag.
std::size_t parse_size(const char* flag, const std::string& text);

}  // namespace stepvideo::commands
