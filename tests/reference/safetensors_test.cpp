#define BOOST_TEST_MODULE safetensors
#include "io/safetensors.hpp"

#include <chrono>
#include <cstring>
#include <random>

#include <boost/test/unit_test.hpp>

#include "io/json.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

/// A file with this header and so many bytes of data.
std::string file_with(std::string_view header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  return file + std::string(data_bytes, '\0');
}

std::string bytes_of_header_length(std::uint64_t length) {
  return {reinterpret_cast<const char*>(&length), sizeof length};
}

struct Fixture {
  ScratchFolder folder;

  void refuses(const std::string& contents, const std::vector<std::string>& phrases) {
    const auto path = folder.write("x.safetensors", contents);
    auto all = phrases;
    all.push_back("x.safetensors");
    check_refused([&] { SafetensorsFile::open(path); }, all);
  }
  void refuses_header(std::string_view header, std::size_t data_bytes,
                      const std::vector<std::string>& phrases) {
    refuses(file_with(header, data_bytes), phrases);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(hostile_files, Fixture)

BOOST_AUTO_TEST_CASE(a_file_that_is_not_there_is_named) {
  check_refused([&] { SafetensorsFile::open(folder / "gone.safetensors"); },
                {"gone.safetensors is not there", "safetensors file was looked for"});
}
BOOST_AUTO_TEST_CASE(a_folder_is_not_a_file) {
  check_refused([&] { SafetensorsFile::open(folder.path()); }, {"is not a regular file"});
}
BOOST_AUTO_TEST_CASE(an_empty_file_is_called_empty) {
  refuses("", {"is empty"});
}
BOOST_AUTO_TEST_CASE(seven_bytes_are_too_few_for_a_length) {
  refuses("1234567", {"truncated", "7 bytes are there"});
}
BOOST_AUTO_TEST_CASE(a_header_must_not_run_past_the_end) {
  auto contents = file_with(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4);
  contents[0] = 100;
  refuses(contents, {"66 bytes are there", "should run to 108"});
}
BOOST_AUTO_TEST_CASE(a_header_length_near_two_to_the_64_does_not_wrap) {
  auto contents = file_with("{}", 0);
  for (int i = 0; i < 8; ++i) contents[static_cast<std::size_t>(i)] = '\xFF';
  refuses(contents, {"10 bytes are there", "18446744073709551615"});
}
BOOST_AUTO_TEST_CASE(a_header_that_is_not_json_is_refused) {
  refuses_header("{\"a\": nonsense}", 0, {"not valid JSON"});
}
BOOST_AUTO_TEST_CASE(a_header_that_is_a_list_is_refused) {
  refuses_header("[1,2]", 0, {"not a JSON object"});
}
BOOST_AUTO_TEST_CASE(an_empty_header_is_refused) {
  refuses(file_with("", 0), {"not valid JSON"});
}
BOOST_AUTO_TEST_CASE(a_very_deep_header_is_refused_without_overflowing_the_stack) {
  const std::string header = "{\"a\":" + std::string(2'000'000, '[');
  refuses_header(header, 0, {"deeper than 64"});
}
BOOST_AUTO_TEST_CASE(overlapping_tensors_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],)"
                 R"("data_offsets":[2,6]}})",
                 6, {R"(tensor "b")", "must not overlap"});
}
BOOST_AUTO_TEST_CASE(a_gap_between_tensors_is_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5, {R"(tensor "a")", "gap"});
}
BOOST_AUTO_TEST_CASE(negative_offsets_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}})", 4,
                 {R"(tensor "a")", "data_offsets"});
}
BOOST_AUTO_TEST_CASE(offsets_in_the_wrong_order_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}})", 4,
                 {R"(tensor "a")", "data_offsets"});
}
BOOST_AUTO_TEST_CASE(offsets_past_64_bits_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,18446744073709551620]}})", 4,
                 {R"(tensor "a")", "data_offsets"});
}
BOOST_AUTO_TEST_CASE(three_offsets_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}})", 4, {"data_offsets"});
}
BOOST_AUTO_TEST_CASE(a_shape_that_does_not_match_its_bytes_is_refused) {
  refuses_header(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,20]}})", 20,
                 {R"(tensor "a")", "[2, 3]", "24 bytes", "span 20"});
}
BOOST_AUTO_TEST_CASE(a_shape_whose_product_overflows_is_refused) {
  refuses_header(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                 {R"(tensor "a")", "impossible shape"});
}
BOOST_AUTO_TEST_CASE(a_shape_whose_product_overflows_is_refused_although_an_extent_is_0) {
  for (const char* shape : {"[4611686018427387904,3,0]", "[0,4611686018427387904,3]"})
    refuses_header(R"({"a":{"dtype":"U8","shape":)" + std::string(shape) + R"(,"data_offsets":[0,0]}})", 0,
                   {"impossible shape"});
}
BOOST_AUTO_TEST_CASE(a_header_beyond_the_formats_limit_is_refused_unread) {
  const auto path = folder.write("x.safetensors", bytes_of_header_length(100'000'001));
  std::filesystem::resize_file(path, 100'000'009);
  check_refused([&] { SafetensorsFile::open(path); }, {"100000001", "allows 100000000"});
}
BOOST_AUTO_TEST_CASE(a_negative_extent_is_refused) {
  refuses_header(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", 0, {"impossible shape [-1]"});
}
BOOST_AUTO_TEST_CASE(a_fractional_extent_is_refused) {
  refuses_header(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,6]}})", 6, {"shape", "[1.5]"});
}
BOOST_AUTO_TEST_CASE(a_tensor_name_twice_is_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],)"
                 R"("data_offsets":[0,1]}})",
                 1, {R"("a" twice)"});
}
BOOST_AUTO_TEST_CASE(an_unknown_dtype_is_refused_with_the_known_ones) {
  refuses_header(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8,
                 {R"("C64")", "F64, F32", "BOOL"});
}
BOOST_AUTO_TEST_CASE(every_unsigned_dtype_and_both_of_fp8_are_known) {
  const auto path = folder.write("x.safetensors",
                                 file_with(R"({"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},)"
                                           R"("b":{"dtype":"U32","shape":[1],"data_offsets":[8,12]},)"
                                           R"("c":{"dtype":"U16","shape":[1],"data_offsets":[12,14]},)"
                                           R"("d":{"dtype":"F8_E5M2","shape":[2],"data_offsets":[14,16]}})",
                                           16));
  const auto file = SafetensorsFile::open(path);
  for (const auto& [name, dtype] :
       {std::pair{"a", Dtype::u64}, {"b", Dtype::u32}, {"c", Dtype::u16}, {"d", Dtype::f8_e5m2}})
    BOOST_CHECK(file.tensors().at(name).dtype == dtype);
}
BOOST_AUTO_TEST_CASE(a_header_of_many_tensors_takes_time_in_proportion) {
  const auto seconds_for = [&](int tensors) {
    std::string header = "{";
    for (int i = 0; i < tensors; ++i)
      header += (i > 0 ? "," : "") + ("\"t" + std::to_string(i)) +
                R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
    const auto path = folder.write("x.safetensors", file_with(header + "}", 0));
    const auto begin = std::chrono::steady_clock::now();
    BOOST_CHECK_EQUAL(SafetensorsFile::open(path).tensors().size(), static_cast<std::size_t>(tensors));
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  seconds_for(1000);
  const double few = seconds_for(5000), many = seconds_for(80'000);
  BOOST_CHECK_MESSAGE(many < 64 * few,
                      many << " s instead of 16 times " << few);  // 256 times where quadratic
}
BOOST_AUTO_TEST_CASE(a_missing_field_is_named) {
  refuses_header(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", 4, {R"(tensor "a")", R"("shape")"});
}
BOOST_AUTO_TEST_CASE(invalid_utf8_in_a_name_is_refused) {
  refuses_header("{\"a\xFF\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                 {"not valid JSON"});
}
BOOST_AUTO_TEST_CASE(a_name_cannot_break_the_line_of_a_message) {
  refuses_header(R"({"a\nb":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8, {R"("a\nb")"});
}
BOOST_AUTO_TEST_CASE(a_truncated_file_says_how_many_bytes_are_needed) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[100],"data_offsets":[0,400]}})";
  refuses_header(header, 399,
                 {"truncated", std::to_string(8 + header.size() + 399) + " bytes are there",
                  std::to_string(8 + header.size() + 400) + " are needed"});
}
BOOST_AUTO_TEST_CASE(bytes_after_the_last_tensor_are_refused) {
  refuses_header(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 7, {"3 bytes after"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(written_files, Fixture)

BOOST_AUTO_TEST_CASE(what_was_written_is_read_back) {
  std::mt19937 engine(1);
  const auto a = random_normal<float>(3 * 5, engine);
  const auto b = random_normal<stepvideo::bf16>(7, engine);
  Buffer<std::int32_t> ids(2);
  ids[0] = -5, ids[1] = 70000;
  const auto path = folder / "out.safetensors";
  write_safetensors(path,
                    {named_tensor("b", {7}, b), named_tensor("a", {3, 5}, a),
                     named_tensor("ids", {2, 1}, ids), NamedTensor{"nothing", Dtype::f32, {0, 4}, {}}},
                    {{"note", "line\nbreak"}});
  const auto file = SafetensorsFile::open(path);
  BOOST_CHECK_EQUAL(file.tensors().size(), 4u);
  BOOST_CHECK_EQUAL(file.metadata().at("note"), "line\nbreak");
  const auto same = [&](const std::string& name, Dtype dtype, const Shape& shape, const void* data) {
    const auto& record = file.tensors().at(name);
    BOOST_CHECK(record.dtype == dtype);
    BOOST_CHECK(record.shape == shape);
    BOOST_REQUIRE_EQUAL(record.bytes.size(),
                        dtype_bytes(dtype) * static_cast<std::size_t>(element_count(shape)));
    BOOST_CHECK_EQUAL(reinterpret_cast<std::uintptr_t>(record.bytes.data()) % dtype_bytes(dtype), 0u);
    BOOST_CHECK(record.bytes.empty() || std::memcmp(record.bytes.data(), data, record.bytes.size()) == 0);
  };
  same("a", Dtype::f32, {3, 5}, a.data());
  same("b", Dtype::bf16, {7}, b.data());
  same("ids", Dtype::i32, {2, 1}, ids.data());
  same("nothing", Dtype::f32, {0, 4}, nullptr);
}
BOOST_AUTO_TEST_CASE(the_data_starts_at_a_multiple_of_64_bytes) {
  const Buffer<float> values = poisoned<float>(1);
  for (int length = 1; length < 70; ++length) {
    const auto path = folder / "aligned.safetensors";
    write_safetensors(path, {named_tensor(std::string(static_cast<std::size_t>(length), 'n'), {1}, values)});
    BOOST_CHECK_EQUAL((std::filesystem::file_size(path) - sizeof(float)) % 64, 0u);
  }
}
BOOST_AUTO_TEST_CASE(a_scalar_has_one_element) {
  Buffer<float> value(1);
  value[0] = 2.5f;
  write_safetensors(folder / "scalar.safetensors", {named_tensor("s", {}, value)});
  const auto file = SafetensorsFile::open(folder / "scalar.safetensors");
  BOOST_CHECK(file.tensors().at("s").shape.empty());
  BOOST_CHECK_EQUAL(file.tensors().at("s").bytes.size(), 4u);
}
BOOST_AUTO_TEST_CASE(bytes_that_do_not_fit_the_shape_are_not_written) {
  Buffer<float> values = poisoned<float>(3);
  BOOST_CHECK_THROW(write_safetensors(folder / "bad.safetensors", {named_tensor("v", {4}, values)}), Error);
  BOOST_CHECK(folder.names().empty());
}
BOOST_AUTO_TEST_CASE(a_name_twice_is_not_written) {
  Buffer<float> values = poisoned<float>(3);
  const auto tensor = named_tensor("v", {3}, values);
  BOOST_CHECK_THROW(write_safetensors(folder / "bad.safetensors", {tensor, tensor}), Error);
  BOOST_CHECK(folder.names().empty());
}
BOOST_AUTO_TEST_CASE(a_folder_that_does_not_exist_is_an_error_that_names_the_file) {
  Buffer<float> values = poisoned<float>(3);
  BOOST_CHECK_EXCEPTION(write_safetensors(folder / "no/where.safetensors", {named_tensor("v", {3}, values)}),
                        Error, [](const Error& error) {
                          return std::string(error.what()).find("where.safetensors") != std::string::npos;
                        });
}
BOOST_AUTO_TEST_CASE(a_link_laid_under_the_temporary_name_is_not_followed) {
  const auto victim = folder.write("victim", "precious");
  std::filesystem::create_symlink(victim,
                                  folder / (".o.safetensors." + std::to_string(getpid()) + "-0.partial"));
  Buffer<float> values = poisoned<float>(3);
  write_safetensors(folder / "o.safetensors", {named_tensor("v", {3}, values)});
  BOOST_CHECK_EQUAL(read_text(victim), "precious");
  BOOST_CHECK_EQUAL(SafetensorsFile::open(folder / "o.safetensors").tensors().size(), 1u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(every_golden_file_opens) {
  int count = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(STEPVIDEO_TEST_DATA "/golden"))
    if (entry.path().extension() == ".safetensors") {
      BOOST_CHECK(!SafetensorsFile::open(entry.path()).tensors().empty());
      ++count;
    }
  BOOST_CHECK_GE(count, 10);
}
