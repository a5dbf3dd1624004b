#include "plan/matmul_table.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iterator>
#include <map>
#include <type_traits>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/model_digest.hpp"
#include "io/printable.hpp"
#include "plan/hardware_files.hpp"

namespace stepvideo::plan {
namespace {

using io::Json;
using nlohmann::ordered_json;

constexpr std::array elements{MatmulElement::fp32, MatmulElement::bf16, MatmulElement::fp16,
                              MatmulElement::fp8};
constexpr std::array epilogues{MatmulEpilogue::store,    MatmulEpilogue::bias,
                               MatmulEpilogue::gelu,     MatmulEpilogue::bias_gelu,
                               MatmulEpilogue::residual, MatmulEpilogue::bias_residual};

/// The one of `known` that the field names.
template <class Known>
auto named(const Json& object, const std::string& source, const char* name, const Known& known) {
  const auto text = io::field<std::string>(object, source, name);
  const auto found = std::ranges::find_if(known, [&](auto value) { return text == to_string(value); });
  require(found != known.end(), [&] {
    std::string names;
    for (const auto value : known) names += (names.empty() ? "" : ", ") + std::string(to_string(value));
    return fmt::format("{}: field \"{}\" is {}; there are {}", source, name, io::in_quotes(text), names);
  });
  return *found;
}

index_t extent(const Json& object, const std::string& source, const char* name) {
  const auto value = io::field<std::int64_t>(object, source, name);
  require(value > 0,
          [&] { return fmt::format("{}: field \"{}\" is {}; 1 or more works", source, name, value); });
  return value;
}

MatmulShape shape_of(const Json& entry, const std::string& source) {
  return {extent(entry, source, "rows"),
          extent(entry, source, "columns"),
          extent(entry, source, "depth"),
          named(entry, source, "element", elements),
          named(entry, source, "result", elements),
          named(entry, source, "epilogue", epilogues)};
}

/// body(name, value) for every attribute.
template <class Algorithm, class Body>
void for_each_attribute(Algorithm& algorithm, Body&& body) {
  body("id", algorithm.id);
  body("tile", algorithm.tile);
  body("stages", algorithm.stages);
  body("split_k", algorithm.split_k);
  body("reduction_scheme", algorithm.reduction_scheme);
  body("swizzle", algorithm.swizzle);
  body("custom_option", algorithm.custom_option);
  body("inner_shape", algorithm.inner_shape);
  body("cluster_shape", algorithm.cluster_shape);
}

ordered_json to_json(const MatmulPlatform& platform) {
  return {{"capability_major", platform.capability_major},
          {"capability_minor", platform.capability_minor},
          {"multiprocessors", platform.multiprocessors},
          {"cublaslt", platform.library_version}};
}

ordered_json to_json(const MatmulShape& shape, const MatmulAlgorithm& algorithm) {
  ordered_json attributes;
  for_each_attribute(algorithm, [&](const char* name, auto value) { attributes[name] = value; });
  return {{"rows", shape.rows},
          {"columns", shape.columns},
          {"depth", shape.depth},
          {"element", to_string(shape.element)},
          {"result", to_string(shape.result)},
          {"epilogue", to_string(shape.epilogue)},
          {"algorithm", attributes}};
}

}  // namespace

std::vector<MatmulTableRow> MatmulTable::rows() const {
  std::vector<MatmulTableRow> rows;
  for (const auto& entry : entries) rows.push_back({platform, entry.shape, entry.algorithm});
  return rows;
}

std::string MatmulTable::digest() const {
  std::map<MatmulShape, MatmulAlgorithm> ordered;
  for (const auto& entry : entries) ordered.emplace(entry.shape, entry.algorithm);
  ordered_json what = {to_json(platform)};
  for (const auto& [shape, algorithm] : ordered) what.push_back(to_json(shape, algorithm));
  return io::text_digest(what.dump());
}

MatmulTable parse_matmul_table(std::string_view text, const std::string& source) {
  const Json json = io::parse_json(text, source);
  MatmulTable table{.name = std::filesystem::path(source).stem().string(),
                    .gpu = io::printable(io::field<std::string>(json, source, "gpu")),
                    .source = io::printable(io::field<std::string>(json, source, "source"))};
  const Json platform = io::field<Json>(json, source, "platform");
  table.platform = {io::field<int>(platform, source, "capability_major"),
                    io::field<int>(platform, source, "capability_minor"),
                    io::field<int>(platform, source, "multiprocessors"),
                    io::field<std::int64_t>(platform, source, "cublaslt")};
  for (const Json& entry : io::field<std::vector<Json>>(json, source, "products")) {
    MatmulTable::Entry read{.shape = shape_of(entry, source)};
    const Json attributes = io::field<Json>(entry, source, "algorithm");
    for_each_attribute(read.algorithm, [&](const char* name, auto& value) {
      value = io::field<std::remove_reference_t<decltype(value)>>(attributes, source, name);
    });
    read.milliseconds = io::field<double>(entry, source, "milliseconds");
    read.first_milliseconds = io::field<double>(entry, source, "first_milliseconds");
    require(std::ranges::find(table.entries, read.shape, &MatmulTable::Entry::shape) == table.entries.end(),
            [&] {
              return fmt::format("{} has {} x {} x {} twice; one algorithm a shape works", source,
                                 read.shape.rows, read.shape.columns, read.shape.depth);
            });
    table.entries.push_back(read);
  }
  return table;
}

std::string matmul_table_text(const MatmulTable& table) {
  std::string products;
  for (const auto& entry : table.entries) {
    auto line = to_json(entry.shape, entry.algorithm);
    line["milliseconds"] = entry.milliseconds;
    line["first_milliseconds"] = entry.first_milliseconds;
    products += (products.empty() ? "\n    " : ",\n    ") + line.dump();
  }
  return fmt::format(
      "{{\n  \"gpu\": {},\n  \"source\": {},\n  \"platform\": {},\n  \"products\": [{}\n  ]\n}}\n",
      ordered_json(table.gpu).dump(), ordered_json(table.source).dump(), to_json(table.platform).dump(),
      products);
}

const std::vector<MatmulTable>& built_in_matmul_tables() {
  static const std::vector<MatmulTable> tables = [] {
    std::vector<MatmulTable> read;
    for (const auto& file : matmul_files())
      read.push_back(parse_matmul_table(file.text, std::string(file.name) + ".json"));
    return read;
  }();
  return tables;
}

const MatmulTable* find_matmul_table(const MatmulPlatform& platform) {
  const auto& tables = built_in_matmul_tables();
  const auto found = std::ranges::find(tables, platform, &MatmulTable::platform);
  return found == tables.end() ? nullptr : &*found;
}

std::vector<MatmulTableRow> built_in_matmul_rows() {
  std::vector<MatmulTableRow> rows;
  for (const auto& table : built_in_matmul_tables())
    std::ranges::copy(table.rows(), std::back_inserter(rows));
  return rows;
}

std::string matmul_choice(const MatmulPlatform& platform) {
  if (const auto* const table = find_matmul_table(platform))
    return fmt::format("the table {} ({})", table->name, table->digest());
  return fmt::format("the first proposals of cuBLASLt {}", platform.library_version);
}

}  // namespace stepvideo::plan
