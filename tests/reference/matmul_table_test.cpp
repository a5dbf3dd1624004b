// Tables of matrix products' algorithms: what is written reads back, what cannot be one is refused by name.
#define BOOST_TEST_MODULE matmul_table
#include "plan/matmul_table.hpp"

#include <boost/test/unit_test.hpp>

#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::plan;

namespace {

MatmulTable example() {
  MatmulTable table{
      .name = "example", .gpu = "A \"GPU\"", .source = "a test", .platform = {9, 0, 132, 130'101}};
  table.entries.push_back({.shape = {75'888, 18'432, 6144, MatmulElement::bf16, MatmulElement::bf16, {}},
                           .algorithm = {66, 1, 2, -1, 2, 1, 5, 6, 7},
                           .milliseconds = 24.5,
                           .first_milliseconds = 25});
  table.entries.push_back(
      {.shape = {2, 36'864, 6144, MatmulElement::fp32, MatmulElement::fp32, MatmulEpilogue::bias},
       .algorithm = {.id = 1}});
  return table;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  BOOST_REQUIRE_NE(at, text.npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_table_reads_back_as_it_was_written) {
  const auto table = example(), read = parse_matmul_table(matmul_table_text(table), "folder/example.json");
  BOOST_CHECK_EQUAL(read.name, table.name);
  BOOST_CHECK_EQUAL(read.gpu, table.gpu);
  BOOST_CHECK_EQUAL(read.source, table.source);
  BOOST_CHECK(read.platform == table.platform);
  BOOST_REQUIRE_EQUAL(read.entries.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    BOOST_CHECK(read.entries[i].shape == table.entries[i].shape);
    BOOST_CHECK(read.entries[i].algorithm == table.entries[i].algorithm);
    BOOST_CHECK_EQUAL(read.entries[i].milliseconds, table.entries[i].milliseconds);
  }
  const auto rows = read.rows();
  BOOST_REQUIRE_EQUAL(rows.size(), 2u);
  BOOST_CHECK(rows[1].platform == table.platform && rows[1].algorithm == table.entries[1].algorithm);
}

BOOST_AUTO_TEST_CASE(the_digest_names_what_decides_bits_and_nothing_else) {
  const auto digest = example().digest();
  BOOST_CHECK_EQUAL(digest.size(), 32u);
  auto table = example();
  std::swap(table.entries[0], table.entries[1]);
  table.entries[0].milliseconds = 1, table.source = "another day", table.name = "other";
  BOOST_CHECK_EQUAL(table.digest(), digest);
  const auto differs = [&](auto&& change) {
    auto changed = example();
    change(changed);
    BOOST_CHECK_NE(changed.digest(), digest);
  };
  differs([](MatmulTable& changed) { ++changed.platform.library_version; });
  differs([](MatmulTable& changed) { ++changed.entries[0].algorithm.stages; });
  differs([](MatmulTable& changed) { ++changed.entries[0].shape.rows; });
  differs([](MatmulTable& changed) { changed.entries.pop_back(); });
}

BOOST_AUTO_TEST_CASE(what_is_no_table_is_refused_by_name) {
  const std::string text = matmul_table_text(example());
  const auto refuse = [](const std::string& changed, const std::vector<std::string>& phrases) {
    testing::check_refused([&] { parse_matmul_table(changed, "x.json"); }, phrases);
  };
  refuse("[]", {"x.json", "\"gpu\""});
  refuse(text.substr(0, text.size() / 2), {"x.json"});
  refuse(replaced(text, "\"rows\":75888", "\"rows\":0"), {"x.json", "\"rows\" is 0", "1 or more"});
  refuse(replaced(text, "\"rows\":75888", "\"rows\":1.5"), {"\"rows\" is 1.5"});
  refuse(replaced(text, "\"element\":\"bf16\"", "\"element\":\"fp4\""),
         {"\"element\" is \"fp4\"", "fp32, bf16, fp16, fp8"});
  refuse(replaced(text, "\"epilogue\":\"store\"", "\"epilogue\":\"relu\""), {"\"relu\"", "bias_gelu"});
  refuse(replaced(text, "\"tile\":1,", ""), {"\"tile\""});
  refuse(replaced(text, "\"stages\":2,", "\"stages\":-2,"), {"\"stages\" is -2"});
  auto twice = example();
  twice.entries.push_back(twice.entries[0]);
  refuse(matmul_table_text(twice), {"75888 x 18432 x 6144 twice"});
}

BOOST_AUTO_TEST_CASE(every_built_in_table_reads_and_is_found_by_its_platform) {
  for (const auto& table : built_in_matmul_tables()) {
    BOOST_CHECK(find_matmul_table(table.platform) == &table);
    BOOST_CHECK(!table.entries.empty());
  }
  BOOST_CHECK(find_matmul_table({1, 0, 1, 1}) == nullptr);
}

BOOST_AUTO_TEST_CASE(a_platform_is_told_what_decides_its_algorithms) {
  BOOST_CHECK_EQUAL(matmul_choice({9, 0, 1, 130100}), "the first proposals of cuBLASLt 130100");
  std::size_t rows = 0;
  for (const auto& table : built_in_matmul_tables()) {
    BOOST_CHECK_EQUAL(matmul_choice(table.platform), "the table " + table.name + " (" + table.digest() + ")");
    rows += table.entries.size();
  }
  BOOST_CHECK_EQUAL(built_in_matmul_rows().size(), rows);
}
