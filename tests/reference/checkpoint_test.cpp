#define BOOST_TEST_MODULE checkpoint
#include "io/checkpoint.hpp"

#include <limits>
#include <random>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>

#include "io/json.hpp"
#include "support/random_input.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

template <class T>
NamedTensor values_of(const std::string& name, const std::vector<T>& values, Dtype dtype = dtype_of<T>) {
  return {name, dtype, {static_cast<std::int64_t>(values.size())}, std::as_bytes(std::span(values))};
}

struct Fixture {
  ScratchFolder folder;
  const std::vector<float> one{1.0f}, two{1.0f, 2.0f};

  void write(const std::string& name, const std::vector<NamedTensor>& tensors) {
    write_safetensors(folder / name, tensors);
  }
  void write_index(const Json& places) {
    folder.write("model.safetensors.index.json",
                 Json{{"metadata", Json::object()}, {"weight_map", places}}.dump());
  }
  void refuses(const std::vector<std::string>& phrases) {
    check_refused([&] { Checkpoint::open(folder.path()); }, phrases);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(opening, Fixture)

BOOST_AUTO_TEST_CASE(shards_are_joined_by_their_index) {
  write("s-1.safetensors", {values_of("a", one)});
  write("s-2.safetensors", {values_of("b", two)});
  write_index({{"a", "s-1.safetensors"}, {"b", "s-2.safetensors"}});
  const auto checkpoint = Checkpoint::open(folder.path());
  BOOST_CHECK_EQUAL(checkpoint.tensors().size(), 2u);
  BOOST_CHECK_EQUAL(checkpoint.load<float>("b")[1], 2.0f);
}
BOOST_AUTO_TEST_CASE(copies_keep_the_mapping_alive) {
  write("model.safetensors", {values_of("a", two)});
  Checkpoint copy;
  {
    const auto checkpoint = Checkpoint::open(folder.path());
    copy = checkpoint;
  }
  std::filesystem::remove(folder / "model.safetensors");
  BOOST_CHECK_EQUAL(copy.load<float>("a")[1], 2.0f);
}
BOOST_AUTO_TEST_CASE(a_missing_shard_is_named) {
  write("s-1.safetensors", {values_of("a", one)});
  write_index({{"a", "s-1.safetensors"}, {"b", "s-2.safetensors"}});
  refuses({"model.safetensors.index.json", R"("s-2.safetensors")", "not in its folder"});
}
BOOST_AUTO_TEST_CASE(a_tensor_that_its_shard_lacks_is_named) {
  write("s-1.safetensors", {values_of("a", one)});
  write_index({{"a", "s-1.safetensors"}, {"b", "s-1.safetensors"}});
  refuses({R"(tensor "b")", R"("s-1.safetensors")", "does not hold it"});
}
BOOST_AUTO_TEST_CASE(an_index_cannot_lead_out_of_its_folder) {
  for (const char* escape : {"../x.safetensors", "/etc/passwd", "..", "sub/x.safetensors", "", "."}) {
    write_index({{"a", escape}});
    refuses({R"(tensor "a")", "a file in the same folder"});
  }
}
BOOST_AUTO_TEST_CASE(an_index_that_places_a_tensor_in_a_number_is_refused) {
  write_index({{"a", 7}});
  refuses({R"(tensor "a" in 7)"});
}
BOOST_AUTO_TEST_CASE(an_index_without_a_weight_map_is_refused) {
  folder.write("model.safetensors.index.json", "{}");
  refuses({"model.safetensors.index.json", R"("weight_map")"});
}
BOOST_AUTO_TEST_CASE(an_index_that_is_not_json_is_refused) {
  folder.write("model.safetensors.index.json", "{\"weight_map\": {");
  refuses({"model.safetensors.index.json", "not valid JSON"});
}
BOOST_AUTO_TEST_CASE(a_truncated_shard_says_what_is_there_and_what_is_needed) {
  write("s-1.safetensors", {values_of("a", two)});
  write_index({{"a", "s-1.safetensors"}});
  const auto size = std::filesystem::file_size(folder / "s-1.safetensors");
  std::filesystem::resize_file(folder / "s-1.safetensors", size - 3);
  refuses({"s-1.safetensors is truncated", std::to_string(size - 3) + " bytes",
           std::to_string(size) + " are needed"});
}
BOOST_AUTO_TEST_CASE(a_folder_without_tensors_says_what_was_looked_for) {
  folder.write("config.json", "{}");
  refuses({"holds no tensors", "*.safetensors.index.json", "model.safetensors"});
}
BOOST_AUTO_TEST_CASE(a_pytorch_file_alone_is_opened) {
  std::filesystem::copy(STEPVIDEO_TEST_DATA "/pickle/usual.bin", folder / "pytorch_model.bin");
  const auto checkpoint = Checkpoint::open(folder.path());
  BOOST_CHECK_EQUAL(checkpoint.load<float>("bias")[1], 7.0f);
}
BOOST_AUTO_TEST_CASE(an_index_can_be_named_itself) {
  write("s-1.safetensors", {values_of("a", one)});
  write_index({{"a", "s-1.safetensors"}});
  BOOST_CHECK(Checkpoint::open(folder / "model.safetensors.index.json").contains("a"));
}
BOOST_AUTO_TEST_CASE(a_safetensors_file_beside_the_pickle_is_taken) {
  folder.write("pytorch_model.bin", "PK");
  write("model.safetensors", {values_of("a", one)});
  BOOST_CHECK(Checkpoint::open(folder.path()).contains("a"));
}
BOOST_AUTO_TEST_CASE(the_usual_name_is_preferred_to_its_neighbours) {
  write("io.safetensors", {values_of("x", one)});
  write("vae_v2.safetensors", {values_of("a", one)});
  BOOST_CHECK(Checkpoint::open(folder.path()).contains("a"));
}
BOOST_AUTO_TEST_CASE(several_files_without_a_usual_name_are_refused) {
  write("x.safetensors", {values_of("x", one)});
  write("y.safetensors", {values_of("y", one)});
  refuses({"holds 2 safetensors files"});
}
BOOST_AUTO_TEST_CASE(a_path_that_is_not_there_is_named) {
  check_refused([&] { Checkpoint::open(folder / "nowhere"); }, {"nowhere is not there"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(loading, Fixture)

BOOST_AUTO_TEST_CASE(every_floating_dtype_becomes_float) {
  const std::vector<double> f64{1.5, -2.25};
  const std::vector<fp16> f16{fp16(1.5f), fp16(-2.25f)};
  const std::vector<stepvideo::bf16> b16{stepvideo::bf16(1.5f), stepvideo::bf16(-2.25f)};
  const std::vector<fp8_e4m3> f8{fp8_e4m3(1.5f), fp8_e4m3(-2.25f)};
  write("model.safetensors", {values_of("f64", f64, Dtype::f64), values_of("f16", f16),
                              values_of("bf16", b16), values_of("f8", f8)});
  const auto checkpoint = Checkpoint::open(folder.path());
  for (const auto& [name, record] : checkpoint.tensors()) {
    const auto values = checkpoint.load<float>(name);
    BOOST_REQUIRE_EQUAL(values.size(), 2);
    BOOST_CHECK_EQUAL(values[0], 1.5f);
    BOOST_CHECK_EQUAL(values[1], -2.25f);
  }
}
BOOST_AUTO_TEST_CASE(fp8_of_five_bits_exponent_is_read_exactly) {
  const std::vector<std::uint8_t> codes{0x3C, 0x3D, 0xC0, 0x01, 0x7B};
  write("model.safetensors", {values_of("a", codes, Dtype::f8_e5m2)});
  const auto loaded = Checkpoint::open(folder.path()).load<float>("a");
  BOOST_CHECK((std::vector<float>(loaded.begin(), loaded.end()) ==
               std::vector<float>{1, 1.25f, -2, 0x1p-16f, 57344}));
  write("model.safetensors", {values_of("a", std::vector<std::uint8_t>{0x3C, 0x7C}, Dtype::f8_e5m2)});
  check_refused([&] { Checkpoint::open(folder.path()).load<float>("a"); }, {R"("a")", "inf at element 1"});
}
BOOST_AUTO_TEST_CASE(narrowing_rounds_to_nearest_even) {
  const std::vector<float> values{1.0f + 0x1p-8f, 1.0f + 0x3p-8f, 1.0f + 0x1.8p-8f};
  write("model.safetensors", {values_of("a", values)});
  const auto loaded = Checkpoint::open(folder.path()).load<stepvideo::bf16>("a");
  BOOST_CHECK_EQUAL(float(loaded[0]), 1.0f);
  BOOST_CHECK_EQUAL(float(loaded[1]), 1.0f + 0x1p-6f);
  BOOST_CHECK_EQUAL(float(loaded[2]), 1.0f + 0x1p-7f);
}
BOOST_AUTO_TEST_CASE(tensors_need_not_be_aligned) {
  const std::string header =
      R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[1],)"
      R"("data_offsets":[1,5]}})";
  std::string file(8, '\0');
  file[0] = static_cast<char>(header.size());
  file += header + '\1' + std::string("\0\0\x20\x40", 4);  // 2.5
  folder.write("model.safetensors", file);
  BOOST_CHECK_EQUAL(Checkpoint::open(folder.path()).load<float>("a")[0], 2.5f);
}
BOOST_AUTO_TEST_CASE(nan_and_infinity_are_refused_naming_tensor_and_element) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    std::vector<float> values(1000, 1.0f);
    values[700] = values[900] = bad;
    write("model.safetensors", {values_of("layers.0.weight", values)});
    const auto checkpoint = Checkpoint::open(folder.path());
    check_refused([&] { checkpoint.load<float>("layers.0.weight"); },
                  {R"("layers.0.weight")", "element 700"});
    check_refused([&] { checkpoint.load<stepvideo::bf16>("layers.0.weight"); },
                  {R"("layers.0.weight")", "element 700"});
  }
}
BOOST_AUTO_TEST_CASE(a_value_that_overflows_as_bf16_is_refused) {
  write("model.safetensors", {values_of("a", std::vector<float>{std::numeric_limits<float>::max()})});
  const auto checkpoint = Checkpoint::open(folder.path());
  BOOST_CHECK_EQUAL(checkpoint.load<float>("a")[0], std::numeric_limits<float>::max());
  check_refused([&] { checkpoint.load<stepvideo::bf16>("a"); }, {R"("a")", "finite as bf16"});
}
BOOST_AUTO_TEST_CASE(integers_are_not_loaded_as_floating_point) {
  write("model.safetensors", {values_of("ids", std::vector<std::int64_t>{1})});
  check_refused([&] { Checkpoint::open(folder.path()).load<float>("ids"); }, {R"("ids")", "I64"});
}
BOOST_AUTO_TEST_CASE(integers_load_from_every_dtype_that_holds_whole_numbers) {
  const std::vector<std::uint8_t> bytes{0, 1};
  write("model.safetensors",
        {values_of("i64", std::vector<std::int64_t>{0, 1}), values_of("i32", std::vector<std::int32_t>{0, 1}),
         values_of("f32", std::vector<float>{0, 1}), values_of("u8", bytes, Dtype::u8),
         values_of("bool", bytes, Dtype::boolean)});
  const auto checkpoint = Checkpoint::open(folder.path());
  BOOST_CHECK_EQUAL(checkpoint.tensors().size(), 5u);
  for (const auto& [name, record] : checkpoint.tensors()) {
    const auto values = checkpoint.load_integers(name);
    BOOST_CHECK(values.size() == 2 && values[0] == 0 && values[1] == 1);
  }
}
BOOST_AUTO_TEST_CASE(what_is_no_32_bit_integer_is_refused) {
  write("model.safetensors", {values_of("wide", std::vector<std::int64_t>{0, 1LL << 31}),
                              values_of("half", std::vector<float>{0.5f}),
                              values_of("nan", std::vector<float>{std::numeric_limits<float>::quiet_NaN()})});
  const auto checkpoint = Checkpoint::open(folder.path());
  check_refused([&] { checkpoint.load_integers("wide"); }, {R"("wide")", "element 1"});
  check_refused([&] { checkpoint.load_integers("half"); }, {R"("half")", "0.5"});
  check_refused([&] { checkpoint.load_integers("nan"); }, {R"("nan")", "nan"});
}
BOOST_AUTO_TEST_CASE(a_pointer_of_git_lfs_names_the_command_that_fetches_the_file) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12345\n";
  folder.write("model.safetensors", pointer);
  check_refused([&] { Checkpoint::open(folder.path()); }, {"model.safetensors", "git lfs pull"});
  folder.write("model.safetensors.index.json", pointer);
  check_refused([&] { Checkpoint::open(folder.path()); }, {"model.safetensors.index.json", "git lfs pull"});
}
BOOST_AUTO_TEST_CASE(an_index_of_a_variant_is_read_and_goes_behind_a_plain_one) {
  const auto index_of = [&](const std::string& name, const std::string& shard) {
    folder.write(name, R"({"weight_map": {"a": ")" + shard + R"("}})");
  };
  write("m.fp16-00001-of-00001.safetensors", {values_of("a", two)});
  write("m.bf16-00001-of-00001.safetensors", {values_of("a", one)});
  index_of("m.safetensors.index.fp16.json", "m.fp16-00001-of-00001.safetensors");
  BOOST_CHECK_EQUAL(Checkpoint::open(folder.path()).at("a").shape.front(), 2);
  BOOST_CHECK_EQUAL(Checkpoint::open(folder / "m.safetensors.index.fp16.json").at("a").shape.front(), 2);
  index_of("m.safetensors.index.bf16.json", "m.bf16-00001-of-00001.safetensors");
  check_refused([&] { Checkpoint::open(folder.path()); },
                {"m.safetensors.index.bf16.json, m.safetensors.index.fp16.json", "name it"});
  index_of("m.safetensors.index.json", "m.bf16-00001-of-00001.safetensors");
  BOOST_CHECK_EQUAL(Checkpoint::open(folder.path()).at("a").shape.front(), 1);
}
BOOST_AUTO_TEST_CASE(what_an_index_forgets_is_there_all_the_same) {
  write("s1.safetensors", {values_of("a", two), values_of("a_scale", one)});
  write("s2.safetensors", {values_of("b", one)});
  folder.write("m.safetensors.index.json",
               R"({"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}})");
  BOOST_CHECK(Checkpoint::open(folder.path()).contains("a_scale"));
  write("s2.safetensors", {values_of("b", one), values_of("a_scale", one)});
  check_refused([&] { Checkpoint::open(folder.path()); }, {"a_scale", "s1.safetensors", "s2.safetensors"});
}
BOOST_AUTO_TEST_CASE(a_tensor_that_is_not_there_is_named) {
  write("model.safetensors", {values_of("a", one)});
  const auto checkpoint = Checkpoint::open(folder.path());
  check_refused([&] { checkpoint.at("b"); }, {"has no tensor \"b\" (it holds 1)"});
  check_refused([&] { checkpoint.load<float>("b"); }, {R"("b")"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(validating, Fixture)

BOOST_AUTO_TEST_CASE(a_checkpoint_that_fits_is_accepted) {
  write("model.safetensors", {values_of("a", one), values_of("b", two)});
  BOOST_CHECK_NO_THROW(Checkpoint::open(folder.path()).validate({{"a", {1}}, {"b", {2}}}));
}
BOOST_AUTO_TEST_CASE(every_problem_is_listed_at_once) {
  write("model.safetensors",
        {values_of("a", one), values_of("c", std::vector<std::int32_t>{1}), values_of("extra", one)});
  const auto checkpoint = Checkpoint::open(folder.path());
  const std::vector<ExpectedTensor> expected{{"a", {2, 3}}, {"b", {1}}, {"c", {1}}};
  check_refused(
      [&] { checkpoint.validate(expected); },
      {"a has shape [1] where [2, 3] is due", "b is missing", "c has dtype I32", R"("extra" is not part)"});
}
BOOST_AUTO_TEST_CASE(extra_tensors_are_allowed_only_on_request) {
  write("model.safetensors", {values_of("a", one), values_of("b", one)});
  const auto checkpoint = Checkpoint::open(folder.path());
  BOOST_CHECK_NO_THROW(checkpoint.validate({{"a", {1}}}, true));
  BOOST_CHECK_THROW(checkpoint.validate({{"a", {1}}}), RequestError);
}
BOOST_AUTO_TEST_CASE(what_would_change_an_expected_tensor_is_refused_where_extra_ones_are_allowed) {
  const std::vector<ExpectedTensor> expected{{"pooler", {1}}, {"layers.0.dense.weight", {1}}};
  const auto validate_with = [&](const std::string& extra) {
    write("model.safetensors",
          {values_of("pooler", one), values_of("layers.0.dense.weight", one), values_of(extra, one)});
    Checkpoint::open(folder.path()).validate(expected, true);
  };
  for (const std::string harmless :
       {"position_ids", "layers.0.position_ids", "layers.1.dense.weight", "logit_scale", "head.scale_weight"})
    BOOST_CHECK_NO_THROW(validate_with(harmless));
  for (const std::string meant :
       {"layers.0.dense.scale_weight", "layers.0.dense.weight_scale", "layers.0.dense.input_scale",
        "layers.0.dense.bias", "layers.0.dense.weight.absmax", "layers.0.dense.weight_scale_inv",
        "pooler_scale", "layers.0.dense.lora_A", "scaled_fp8"})
    check_refused([&] { validate_with(meant); }, {meant, "is not applied"});
}
BOOST_AUTO_TEST_CASE(many_problems_are_counted) {
  write("model.safetensors", {values_of("a", one)});
  std::vector<ExpectedTensor> expected{{"a", {1}}};
  for (int i = 0; i < 115; ++i) expected.push_back({fmt::format("b{}", i), {1}});
  check_refused([&] { Checkpoint::open(folder.path()).validate(expected); },
                {"b99 is missing", "and 15 more"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(the_tensor_list_hash_is_the_md5_of_the_sorted_words) {
  // md5 of "a,a:2_3,b,b:7,scalar,scalar:"
  BOOST_CHECK_EQUAL(tensor_list_hash({{"b", {7}}, {"scalar", {}}, {"a", {2, 3}}}),
                    "7bd5230b455a678f3f2067af6581c627");
  BOOST_CHECK_EQUAL(tensor_list_hash({}), "d41d8cd98f00b204e9800998ecf8427e");
}
