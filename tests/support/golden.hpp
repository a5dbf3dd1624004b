// Golden tensors for kernel tests, which do not link the executor and its own reader.
#pragma once
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <stepvideo/core/buffer.hpp>

namespace stepvideo::testing {

/// The float32 tensor `name` of tests/data/golden/`file`, flattened.
inline Buffer<float> golden_tensor(const std::string& file, const std::string& name) {
  std::ifstream stream(std::string(STEPVIDEO_TEST_DATA "/golden/") + file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  if (bytes.size() < 8) throw std::runtime_error("no golden file " + file);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  const auto entry = nlohmann::json::parse(bytes.substr(8, header_bytes)).at(name);
  if (entry.at("dtype") != "F32") throw std::runtime_error(name + " in " + file + " is not float32");
  const auto offsets = entry.at("data_offsets").get<std::vector<std::size_t>>();
  Buffer<float> values(static_cast<index_t>((offsets.at(1) - offsets.at(0)) / sizeof(float)));
  std::memcpy(values.data(), bytes.data() + 8 + header_bytes + offsets.at(0), values.size_bytes());
  return values;
}

}  // namespace stepvideo::testing
