#define BOOST_TEST_MODULE json
#include "io/json.hpp"

#include <boost/test/unit_test.hpp>

#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {
const Json object = Json::parse(
    R"({"heads":48,"negative":-1,"eps":1e-6,"name":"x","flag":true,"list":[1,2],"mixed":[1,"a"],"inner":{},"nothing":null})");
}

BOOST_AUTO_TEST_CASE(a_field_is_read_as_its_type) {
  BOOST_CHECK_EQUAL(field<int>(object, "c.json", "heads"), 48);
  BOOST_CHECK_EQUAL(field<double>(object, "c.json", "heads"), 48.0);
  BOOST_CHECK_EQUAL(field<float>(object, "c.json", "eps"), 1e-6f);
  BOOST_CHECK_EQUAL(field<std::string>(object, "c.json", "name"), "x");
  BOOST_CHECK_EQUAL(field<bool>(object, "c.json", "flag"), true);
  BOOST_CHECK((field<std::vector<int>>(object, "c.json", "list") == std::vector{1, 2}));
  BOOST_CHECK(field<Json>(object, "c.json", "inner").empty());
}
BOOST_AUTO_TEST_CASE(a_missing_field_is_named_with_its_file) {
  check_refused([] { field<int>(object, "c.json", "layers"); }, {"c.json", R"("layers")", "a whole number"});
}
BOOST_AUTO_TEST_CASE(a_field_of_another_kind_is_shown) {
  check_refused([] { field<int>(object, "c.json", "eps"); },
                {"c.json", R"("eps")", "1e-06", "a whole number"});
  check_refused([] { field<int>(object, "c.json", "flag"); }, {"true"});
  check_refused([] { field<std::string>(object, "c.json", "heads"); }, {"48", "a string"});
  check_refused([] { field<std::vector<int>>(object, "c.json", "mixed"); }, {R"([1,"a"])", "a list"});
  check_refused([] { field<Json>(object, "c.json", "list"); }, {"an object"});
}
BOOST_AUTO_TEST_CASE(a_number_out_of_the_types_range_is_refused) {
  check_refused([] { field<unsigned>(object, "c.json", "negative"); }, {"-1"});
  const Json wide = Json::parse(R"({"n":4294967296})");
  check_refused([&] { field<int>(wide, "c.json", "n"); }, {"4294967296"});
  BOOST_CHECK_EQUAL(field<std::int64_t>(wide, "c.json", "n"), 4294967296);
}
BOOST_AUTO_TEST_CASE(an_absent_or_null_field_takes_the_fallback_and_a_wrong_one_does_not) {
  BOOST_CHECK_EQUAL(field_or<int>(object, "c.json", "layers", 7), 7);
  BOOST_CHECK_EQUAL(field_or<int>(object, "c.json", "nothing", 7), 7);
  BOOST_CHECK_EQUAL(field_or<int>(object, "c.json", "heads", 7), 48);
  check_refused([] { field_or<int>(object, "c.json", "name", 7); }, {R"("name")"});
}
BOOST_AUTO_TEST_CASE(a_field_of_what_is_no_object_is_refused) {
  check_refused([] { field<int>(Json::array(), "c.json", "heads"); }, {"c.json", R"("heads")"});
  check_refused([] { field_or<int>(Json::array(), "c.json", "heads", 1); }, {"c.json", R"("heads")"});
}
BOOST_AUTO_TEST_CASE(a_file_is_read_or_named) {
  const ScratchFolder folder;
  BOOST_CHECK_EQUAL(field<int>(read_json(folder.write("good.json", R"({"a":1})")), "good.json", "a"), 1);
  check_refused([&] { read_json(folder / "gone.json"); }, {"gone.json is not there"});
  check_refused([&] { read_json(folder.path()); }, {"is not there"});
  check_refused([&] { read_json(folder.write("bad.json", "{\"a\":")); },
                {"bad.json", "not valid JSON", "byte"});
  check_refused([&] { read_json(folder.write("huge.json", "[1e999]")); }, {"huge.json", "out of range"});
  check_refused([&] { read_json(folder.write("twice.json", R"({"x":{"a":1,"a":2}})")); },
                {"twice.json", R"("a" twice)"});
}
BOOST_AUTO_TEST_CASE(the_same_name_in_different_objects_is_fine) {
  BOOST_CHECK_NO_THROW(parse_json(R"({"a":{"a":1},"b":[{"a":1},{"a":2}]})", "text"));
}
BOOST_AUTO_TEST_CASE(sixty_four_levels_are_read_and_sixty_five_are_not) {
  BOOST_CHECK_NO_THROW(parse_json(std::string(64, '[') + std::string(64, ']'), "text"));
  check_refused([] { parse_json(std::string(65, '[') + std::string(65, ']'), "text"); }, {"deeper than 64"});
}
BOOST_AUTO_TEST_CASE(a_name_in_a_message_is_cut_and_cannot_drive_the_terminal) {
  BOOST_CHECK_EQUAL(in_quotes("a\n\x7f\u009b2J"), R"("a\n\x7f\x9b2J")");
  BOOST_CHECK_EQUAL(in_quotes(std::string(5000, 'a')), '"' + std::string(256, 'a') + "...\"");
  BOOST_CHECK_EQUAL(in_quotes("\u00e9\xff"), "\"\u00e9\uFFFD\"");
}
BOOST_AUTO_TEST_CASE(a_value_in_a_message_is_cut_between_characters) {
  std::string text(80, 'a');
  BOOST_CHECK_EQUAL(excerpt(Json(text.substr(2))), '"' + text.substr(2) + '"');
  text.replace(78, 2, "\u00e9\u00e9");  // the quote moves the first of them across the cut
  BOOST_CHECK_EQUAL(excerpt(Json(text)), '"' + std::string(78, 'a') + "...");
}
