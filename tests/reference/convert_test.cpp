// Weights from one layout, precision and naming to another.
#define BOOST_TEST_MODULE convert
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include <boost/test/unit_test.hpp>
#include <fmt/format.h>
#include <sys/resource.h>

#include "commands/convert_plan.hpp"
#include "commands/convert_write.hpp"
#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "io/manifest.hpp"
#include "io/model_digest.hpp"
#include "io/safetensors_stream.hpp"
#include "reference/torch_writer.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"
#include "support/random_input.hpp"

using namespace stepvideo;
using namespace stepvideo::commands;
using namespace stepvideo::testing;
using io::Checkpoint;
using io::Dtype;
namespace fs = std::filesystem;

namespace {

const fs::path golden = STEPVIDEO_TEST_DATA "/golden";

void convert_quietly(const ConvertRequest& request) {
  Progress progress({.is_quiet = true});
  write_conversion(plan_conversion(request), progress);
}

void check_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  BOOST_REQUIRE_EQUAL(a.tensors().size(), b.tensors().size());
  for (const auto& [name, record] : a.tensors()) {
    BOOST_REQUIRE_MESSAGE(b.contains(name), name);
    const auto& other = b.at(name);
    BOOST_CHECK_MESSAGE(record.dtype == other.dtype && record.shape == other.shape &&
                            std::ranges::equal(record.bytes, other.bytes),
                        name);
  }
}

/// What lies behind a safetensors file's header, which may say different things of the same tensors.
std::string bytes_of_tensors(const fs::path& path) {
  const std::string bytes = read_text(path);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  return bytes.substr(sizeof header_bytes + header_bytes);
}

io::Json manifest_of(const fs::path& path) {
  const auto manifest = io::read_manifest(path);
  BOOST_REQUIRE_MESSAGE(manifest.has_value(), path);
  return *manifest;
}

struct Fixture {
  ScratchFolder folder;
  std::mt19937 engine{3};

  fs::path write(const std::string& name,
                 const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
    std::vector<io::NamedTensor> all;
    for (const auto& [tensor, values] : tensors)
      all.push_back(
          {tensor, Dtype::f32, {static_cast<std::int64_t>(values.size())}, std::as_bytes(std::span(values))});
    io::write_safetensors(folder / name, all);
    return folder / name;
  }
  std::vector<float> random(int size) {
    const auto values = random_normal<float>(size, engine);
    return {values.begin(), values.end()};
  }
  /// Refused with nothing written.
  void refuses(const ConvertRequest& request, const std::vector<std::string>& phrases) {
    const auto before = folder.names().size();
    check_refused([&] { convert_quietly(request); }, phrases);
    BOOST_CHECK_EQUAL(folder.names().size(), before);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(layouts, Fixture)

BOOST_AUTO_TEST_CASE(a_pytorch_file_becomes_the_same_tensors_as_safetensors) {
  for (const char* name : {"usual.bin", "odd.bin"}) {
    const fs::path file = fs::path(STEPVIDEO_TEST_DATA "/pickle") / name;
    convert_quietly({.inputs = {file}, .output = folder / "out.safetensors", .overwrites = true});
    check_same_tensors(Checkpoint::open(file), Checkpoint::open(folder / "out.safetensors"));
  }
}

BOOST_AUTO_TEST_CASE(shards_are_split_to_size_and_merged_to_the_same_bytes) {
  const fs::path whole = golden / "dit_tiny/diffusion_pytorch_model.safetensors";
  convert_quietly({.inputs = {whole}, .output = folder / "shards", .max_shard_bytes = 300'000});
  std::vector<std::string> shards;
  for (const auto& entry : fs::directory_iterator(folder / "shards"))
    shards.push_back(entry.path().filename().string());
  std::ranges::sort(shards);
  BOOST_REQUIRE_GT(shards.size(), 3u);
  BOOST_CHECK_EQUAL(shards.back(), "diffusion_pytorch_model.safetensors.index.json");
  shards.pop_back();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    BOOST_CHECK_EQUAL(
        shards[i], fmt::format("diffusion_pytorch_model-{:05}-of-{:05}.safetensors", i + 1, shards.size()));
    const auto shard = Checkpoint::open(folder / "shards" / shards[i]);
    BOOST_CHECK(shard.bytes() <= 300'000 || shard.tensors().size() == 1);
  }
  check_same_tensors(Checkpoint::open(whole), Checkpoint::open(folder / "shards"));
  convert_quietly({.inputs = {folder / "shards/diffusion_pytorch_model.safetensors.index.json"},
                   .output = folder / "merged.safetensors"});
  check_same_tensors(Checkpoint::open(whole), Checkpoint::open(folder / "merged.safetensors"));
  convert_quietly({.inputs = {whole}, .output = folder / "again.safetensors"});
  BOOST_CHECK(bytes_of_tensors(folder / "merged.safetensors") ==
              bytes_of_tensors(folder / "again.safetensors"));
}

BOOST_AUTO_TEST_CASE(the_index_says_where_everything_is) {
  const auto a = random(10), b = random(20);
  convert_quietly({.inputs = {write("in.safetensors", {{"a", a}, {"b", b}})},
                   .output = folder / "out",
                   .max_shard_bytes = 80});
  const auto index = io::read_json(folder / "out/model.safetensors.index.json");
  BOOST_CHECK_EQUAL(index["metadata"]["total_size"], 120);
  BOOST_CHECK_EQUAL(index["weight_map"]["a"], "model-00001-of-00002.safetensors");
  BOOST_CHECK_EQUAL(index["weight_map"]["b"], "model-00002-of-00002.safetensors");
}

BOOST_AUTO_TEST_CASE(a_folder_of_one_file_needs_no_index) {
  convert_quietly({.inputs = {write("in.safetensors", {{"a", random(10)}})}, .output = folder / "out"});
  BOOST_CHECK(fs::exists(folder / "out/model.safetensors"));
  BOOST_CHECK_EQUAL(std::distance(fs::directory_iterator(folder / "out"), {}), 1);
}

BOOST_AUTO_TEST_CASE(several_inputs_make_one_checkpoint) {
  const auto first = write("1.safetensors", {{"a", {1}}}), second = write("2.safetensors", {{"b", {2}}});
  convert_quietly({.inputs = {first, second}, .output = folder / "out.safetensors"});
  const auto merged = Checkpoint::open(folder / "out.safetensors");
  BOOST_CHECK_EQUAL(merged.load<float>("a")[0], 1.0f);
  BOOST_CHECK_EQUAL(merged.load<float>("b")[0], 2.0f);
}

BOOST_AUTO_TEST_CASE(metadata_is_kept_and_says_the_format) {
  const std::vector<float> one{1};
  io::write_safetensors(folder / "in.safetensors", {{"a", Dtype::f32, {1}, std::as_bytes(std::span(one))}},
                        {{"license", "MIT"}});
  convert_quietly({.inputs = {folder / "in.safetensors"}, .output = folder / "out.safetensors"});
  const auto metadata = io::SafetensorsFile::open(folder / "out.safetensors").metadata();
  BOOST_CHECK_EQUAL(metadata.at("license"), "MIT");
  BOOST_CHECK_EQUAL(metadata.at("format"), "pt");
}

BOOST_AUTO_TEST_CASE(every_file_of_a_converted_checkpoint_says_what_it_was_made_from_and_how) {
  fs::copy(golden / "dit_tiny", folder / "model");
  fs::remove(folder / "model/io.safetensors");
  convert_quietly({.inputs = {folder / "model"},
                   .output = folder / "half",
                   .dtype = Dtype::bf16,
                   .max_shard_bytes = 300'000});
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder / "half")) {
    if (entry.path().extension() != ".safetensors") continue;
    ++files;
    const io::Json manifest = manifest_of(entry.path());
    BOOST_CHECK_EQUAL(manifest.at("command"), "convert");
    BOOST_CHECK_EQUAL(manifest.at("dtype"), "BF16");
    BOOST_CHECK_EQUAL(manifest.at("input"),
                      io::component_digest(folder / "model", io::Component::transformer));
  }
  BOOST_CHECK_GT(files, 1);

  const auto other = write("other.safetensors", {{"b.w", {1}}, {"c.w", {2}}});
  const fs::path index = folder / "half/diffusion_pytorch_model.safetensors.index.json";
  convert_quietly({.inputs = {index, other},
                   .output = folder / "all.safetensors",
                   .renames = {"^b\\.=d."},
                   .keeps = {"weight", "^b"}});
  const io::Json manifest = manifest_of(folder / "all.safetensors");
  BOOST_CHECK_EQUAL(manifest.at("dtype"), "keep");
  BOOST_CHECK(manifest.at("rename") == io::Json({"^b\\.=d."}));
  BOOST_CHECK(manifest.at("keep") == io::Json({"weight", "^b"}));
  BOOST_CHECK_EQUAL(manifest.at("input_2"), io::weights_digest(other, io::StoredTensors::open(other)));
  BOOST_CHECK_NE(manifest.at("input_1"), manifest.at("input_2"));
  BOOST_CHECK_EQUAL(manifest.at("sources").at("input_1").at("dtype"), "BF16");
  BOOST_CHECK(!manifest.at("sources").contains("input_2"));
}

BOOST_AUTO_TEST_CASE(the_same_conversion_gives_the_same_files_whenever_and_wherever_it_is_made) {
  const fs::path first = folder / "one/in.safetensors", second = folder / "two/in.safetensors";
  for (const fs::path& path : {first, second}) {
    fs::create_directory(path.parent_path());
    fs::copy(golden / "dit_tiny/diffusion_pytorch_model.safetensors", path);
    convert_quietly({.inputs = {path}, .output = path.parent_path() / "out.safetensors"});
    convert_quietly({.inputs = {path}, .output = path.parent_path() / "out", .max_shard_bytes = 300'000});
  }
  BOOST_CHECK(read_text(folder / "one/out.safetensors") == read_text(folder / "two/out.safetensors"));
  for (const auto& entry : fs::directory_iterator(folder / "one/out"))
    BOOST_CHECK(read_text(entry.path()) == read_text(folder / "two/out" / entry.path().filename()));
}

BOOST_AUTO_TEST_CASE(a_file_can_be_replaced_by_its_own_conversion) {
  const auto values = random(3'000'000);
  const auto path = write("in.safetensors", {{"a", values}});
  refuses({.inputs = {path}, .output = path, .dtype = Dtype::bf16},
          {"--output", "is there", "--overwrite replaces it"});
  convert_quietly({.inputs = {path}, .output = path, .dtype = Dtype::bf16, .overwrites = true});
  const auto loaded = Checkpoint::open(path);
  BOOST_CHECK(loaded.at("a").dtype == Dtype::bf16);
  const auto halves = loaded.load<float>("a");
  BOOST_CHECK(std::ranges::equal(halves, values, {}, {}, [](float x) { return float(stepvideo::bf16(x)); }));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(dtypes, Fixture)

BOOST_AUTO_TEST_CASE(floating_point_is_rounded_to_nearest_even_and_integers_stay) {
  const std::vector<float> values{1.0f + 0x1p-8f, 1.0f + 0x3p-8f, 1.0f + 0x1p-11f, 3e-6f, -0.0f};
  const std::vector<std::int64_t> ids{1LL << 40};
  io::write_safetensors(folder / "in.safetensors", {{"a", Dtype::f32, {5}, std::as_bytes(std::span(values))},
                                                    {"ids", Dtype::i64, {1}, std::as_bytes(std::span(ids))}});
  for (const auto dtype : {Dtype::f32, Dtype::bf16, Dtype::f16}) {
    convert_quietly({.inputs = {folder / "in.safetensors"},
                     .output = folder / "out.safetensors",
                     .dtype = dtype,
                     .overwrites = true});
    const auto out = Checkpoint::open(folder / "out.safetensors");
    BOOST_CHECK(out.at("a").dtype == dtype);
    BOOST_CHECK(out.at("ids").dtype == Dtype::i64);
    const auto loaded = out.load<float>("a");
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float due = dtype == Dtype::bf16  ? float(stepvideo::bf16(values[i]))
                        : dtype == Dtype::f16 ? float(fp16(values[i]))
                                              : values[i];
      BOOST_CHECK_EQUAL(loaded[static_cast<index_t>(i)], due);
    }
  }
}

BOOST_AUTO_TEST_CASE(every_floating_dtype_can_be_cast) {
  convert_quietly({.inputs = {fs::path(STEPVIDEO_TEST_DATA "/pickle/odd.bin")},
                   .output = folder / "out.safetensors",
                   .dtype = Dtype::f16});
  const auto out = Checkpoint::open(folder / "out.safetensors");
  for (const char* name : {"double", "half", "bfloat"}) {
    BOOST_CHECK(out.at(name).dtype == Dtype::f16);
    BOOST_CHECK_EQUAL(out.load<float>(name)[1], -2.0f);
  }
  BOOST_CHECK_EQUAL(out.load<float>("transposed")[1], 6.0f);
}

BOOST_AUTO_TEST_CASE(tensors_of_dtypes_that_nothing_computes_with_are_carried_through) {
  const std::vector<std::uint8_t> bytes{0x3C, 0x3D, 0, 0, 1, 2, 3, 4};
  const auto raw = std::as_bytes(std::span(bytes));
  io::write_safetensors(folder / "a.safetensors", {{"u64", Dtype::u64, {1}, raw},
                                                   {"u32", Dtype::u32, {2}, raw},
                                                   {"u16", Dtype::u16, {4}, raw},
                                                   {"e5m2", Dtype::f8_e5m2, {8}, raw}});
  convert_quietly({.inputs = {folder / "a.safetensors"}, .output = folder / "b.safetensors"});
  check_same_tensors(Checkpoint::open(folder / "a.safetensors"), Checkpoint::open(folder / "b.safetensors"));
  convert_quietly(
      {.inputs = {folder / "a.safetensors"}, .output = folder / "c.safetensors", .dtype = Dtype::bf16});
  const auto cast = Checkpoint::open(folder / "c.safetensors");
  BOOST_CHECK(cast.at("u16").dtype == Dtype::u16 && cast.at("e5m2").dtype == Dtype::bf16);
  BOOST_CHECK_EQUAL(cast.load<float>("e5m2")[1], 1.25f);
}
BOOST_AUTO_TEST_CASE(a_value_that_becomes_infinite_is_refused_and_one_that_was_stays) {
  std::vector<float> values(1'500'000, 1.0f);
  values[7] = std::numeric_limits<float>::infinity();
  values[8] = std::numeric_limits<float>::quiet_NaN();
  const auto sound = write("in.safetensors", {{"a", values}});
  convert_quietly({.inputs = {sound}, .output = folder / "out.safetensors", .dtype = Dtype::f16});
  const auto out = Checkpoint::open(folder / "out.safetensors");
  fp16 found[2];
  std::memcpy(found, out.at("a").bytes.data() + 14, 4);
  BOOST_CHECK(std::isinf(float(found[0])) && std::isnan(float(found[1])));
  values[1'200'000] = 70000.0f;
  const auto large = write("large.safetensors", {{"layers.0", values}});
  refuses({.inputs = {large}, .output = folder / "new.safetensors", .dtype = Dtype::f16},
          {R"("layers.0")", "70000", "element 1200000", "fp16", "bf16 or fp32"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(names, Fixture)

BOOST_AUTO_TEST_CASE(names_are_renamed_one_rule_after_the_other_and_filtered_by_their_old_ones) {
  const auto path =
      write("in.safetensors", {{"model.layers.0.w", {1}}, {"model.layers.11.w", {2}}, {"optimizer", {3}}});
  convert_quietly({.inputs = {path},
                   .output = folder / "out.safetensors",
                   .renames = {R"(^model\.=)", R"(layers\.(\d+)=blocks.$1.inner)"},
                   .keeps = {R"(^model\.)"}});
  const auto out = Checkpoint::open(folder / "out.safetensors");
  BOOST_CHECK_EQUAL(out.tensors().size(), 2u);
  BOOST_CHECK_EQUAL(out.load<float>("blocks.0.inner.w")[0], 1.0f);
  BOOST_CHECK_EQUAL(out.load<float>("blocks.11.inner.w")[0], 2.0f);
}

BOOST_AUTO_TEST_CASE(names_that_become_the_same_are_refused) {
  const auto a = write("1.safetensors", {{"a.x", {1}}, {"b.x", {1}}}),
             b = write("2.safetensors", {{"a.x", {1}}});
  const fs::path out = folder / "out.safetensors";
  refuses({.inputs = {a}, .output = out, .renames = {"^.\\.=c."}},
          {R"("a.x" of)", R"("b.x" of)", R"(both be called "c.x")", "--rename"});
  refuses({.inputs = {a, b}, .output = out}, {"1.safetensors", "2.safetensors", R"(both be called "a.x")"});
}

BOOST_AUTO_TEST_CASE(rules_that_cannot_work_are_refused) {
  const auto path = write("in.safetensors", {{"a", {1}}});
  const auto with = [&](std::vector<std::string> renames, std::vector<std::string> keeps = {}) {
    return ConvertRequest{
        .inputs = {path}, .output = folder / "out.safetensors", .renames = renames, .keeps = keeps};
  };
  refuses(with({"a"}), {"--rename", R"("a" has no '=')"});
  refuses(with({"(=b"}), {"--rename", R"("(" is not a regular expression)"});
  refuses(with({"=b"}), {"--rename", "no regular expression"});
  refuses(with({"x=b"}), {"--rename", R"("x=b" matches none of the 1 names)"});
  refuses(with({"a="}), {"--rename", R"("a" of)", "1 to 4096 bytes"});
  refuses(with({"a=__metadata__"}), {"--rename", "__metadata__"});
  refuses(with({}, {"x"}), {"--keep", R"("x" matches none)"});
  refuses(with({},
               {
                   "[",
               }),
          {"--keep", "not a regular expression"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(places, Fixture)

BOOST_AUTO_TEST_CASE(a_missing_shard_is_named) {
  folder.write("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  refuses({.inputs = {folder.path()}, .output = folder / "out"},
          {R"("gone.safetensors")", "not in its folder"});
}

BOOST_AUTO_TEST_CASE(outputs_that_cannot_be_written_are_found_before_the_work) {
  const auto path = write("in.safetensors", {{"a", {1}}});
  const auto to = [&](const fs::path& output) { return ConvertRequest{.inputs = {path}, .output = output}; };
  refuses(to(folder / "none/out.safetensors"), {"--output", "none", "create it first"});
  refuses(to(folder / "none/out"), {"--output", "none", "create it first"});
  refuses(to(folder / "out.bin"), {"--output", "out.bin", "ends in .safetensors or a folder"});
  refuses(to(folder.path()), {"--output", "already holds in.safetensors"});
  folder.write("file", "x");
  refuses(to(folder / "file"), {"--output", "is no folder"});
  auto sharded = to(folder / "out.safetensors");
  sharded.max_shard_bytes = 100;
  refuses(sharded, {"--max-shard-size", "one file", "a folder"});
}

BOOST_AUTO_TEST_CASE(a_disk_without_space_is_found_before_the_work) {
  const PickledTensor vast{.key = "0", .storage_elements = 1, .shape = {1LL << 50}, .strides = {0}};
  const auto path = folder.write(
      "vast.bin",
      torch_file(PickleWriter().op("}").text("a").tensor(vast).op("s").finish(), {{"0", "1234"}}));
  refuses({.inputs = {path}, .output = folder / "out.safetensors"}, {"--output", "GB left"});
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(the_command, Fixture)

BOOST_AUTO_TEST_CASE(it_converts_and_says_what_it_wrote) {
  write("in.safetensors", {{"a.w", random(1000)}, {"b.w", random(1000)}});
  const auto result = run_program({"convert", "--input", (folder / "in.safetensors").string(), "--output",
                                   (folder / "out/").string(), "--dtype", "bf16", "--max-shard-size", "2KB",
                                   "--rename", "^a=x", "--rename", "^b=y"});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK(result.output.starts_with("2 tensors, 4 kB, in 2 files of "));
  BOOST_CHECK(result.errors.find("convert: 2 steps") != std::string::npos);
  BOOST_CHECK(Checkpoint::open(folder / "out").at("x.w").dtype == Dtype::bf16);
}

BOOST_AUTO_TEST_CASE(wrong_requests_exit_with_2_and_one_sentence) {
  const std::string in = write("in.safetensors", {{"a", {1}}}).string(),
                    out = (folder / "out.safetensors").string();
  const auto refuses = [&](std::vector<std::string> arguments, const std::string& phrase) {
    arguments.insert(arguments.begin(), "convert");
    const auto result = run_program(arguments);
    BOOST_CHECK_EQUAL(result.exit_code, 2);
    BOOST_CHECK_MESSAGE(result.errors.find(phrase) != std::string::npos,
                        result.errors << " lacks " << phrase);
    BOOST_CHECK_EQUAL(std::ranges::count(result.errors, '\n'), 1);
    BOOST_CHECK(!fs::exists(out));
  };
  refuses({"--dtype", "BF16"}, "--input and --output are missing");
  refuses({"--output", out}, "--input is missing");
  refuses({"--input", in}, "--output is missing");
  refuses({"--input", "", "--output", out}, "--input is empty");
  refuses({"--input", in, "--output", out, "--dtype", "fp4"},
          "--dtype: 'fp4' is not one of fp32, bf16, fp16, fp8 and keep");
  refuses({"--input", in, "--output", out, "--dtype", "fp8"},
          "holds no matrix of a video transformer's blocks that is not fp8 already");
  refuses({"--input", in, "--output", out, "--max-shard-size", "big"}, "--max-shard-size: 'big'");
  refuses({"--input", in, "--output", out, "--output", out}, "--output is given more than once");
  refuses({"--input", (folder / "gone").string(), "--output", out}, "gone is not there");
  refuses({"--input", STEPVIDEO_TEST_DATA "/pickle/hostile.bin", "--output", out}, "\"posix.system\"");
}

BOOST_AUTO_TEST_CASE(a_disk_that_fills_up_leaves_nothing_behind) {
  const auto in = write("in.safetensors", {{"a", random(500'000)}, {"b", random(1'000'000)}});
  for (const char* output : {"out.safetensors", "out"}) {
    // ulimit -f counts blocks of 512 bytes (dash): the first shard of 2 MB fits, the second of 4 MB does not.
    const auto result =
        run_program({"convert", "--input", in.string(), "--output", (folder / output).string(), "--quiet"},
                    "trap '' XFSZ; ulimit -f 6000;");
    BOOST_CHECK_EQUAL(result.exit_code, 1);
    BOOST_CHECK_MESSAGE(result.errors.find("cannot be written: File too large") != std::string::npos,
                        result.errors);
    BOOST_CHECK_EQUAL(folder.names().size(), 1u);
  }
}

BOOST_AUTO_TEST_CASE(memory_stays_far_below_a_shard) {
  constexpr std::int64_t elements = 1 << 24;  // 64 MiB a tensor
  std::vector<io::NamedTensor> announced;
  for (const char* name : {"a", "b", "c", "d", "e", "f"})
    announced.push_back({name, Dtype::f32, {elements}, {}});
  const auto piece = random(1 << 20);
  io::SafetensorsStream stream(folder / "in.safetensors", announced);
  for (std::size_t i = 0; i < announced.size() * 16; ++i) stream.append(std::as_bytes(std::span(piece)));
  stream.finish();
  for (const char* dtype : {"keep", "bf16"}) {
    const auto result =
        run_program({"convert", "--input", (folder / "in.safetensors").string(), "--output",
                     (folder / "out.safetensors").string(), "--dtype", dtype, "--quiet", "--overwrite"});
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  }
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  BOOST_TEST_MESSAGE("peak of converting 403 MB: " << usage.ru_maxrss << " KiB");
#ifndef __SANITIZE_ADDRESS__
  BOOST_CHECK_LT(usage.ru_maxrss, 128 << 10);
#endif
}

BOOST_AUTO_TEST_CASE(a_conversion_that_is_stopped_leaves_all_or_nothing) {
  std::vector<std::pair<std::string, std::vector<float>>> tensors;
  for (const char* name : {"a", "b", "c", "d"}) tensors.emplace_back(name, random(8'000'000));
  const auto in = write("in.safetensors", tensors);
  for (const char* signal : {"INT", "KILL"})
    for (const char* seconds : {"0.05", "0.1", "0.2", "0.3"})
      for (const bool exists : {false, true}) {
        if (exists) fs::create_directory(folder / "out");
        const auto result = run_program({"convert", "--input", in.string(), "--output",
                                         (folder / "out").string(), "--max-shard-size", "40MB", "--quiet"},
                                        fmt::format("timeout --foreground -s {} {}", signal, seconds));
        BOOST_TEST_CONTEXT(signal << " after " << seconds << " s: " << result.errors) {
          std::size_t visible = 0;
          std::error_code unused;
          for (const auto& entry : fs::directory_iterator(folder / "out", unused))
            visible += !entry.path().filename().string().starts_with(".");
          BOOST_CHECK(visible == 0 || visible == 5);
          if (visible == 5) check_same_tensors(Checkpoint::open(in), Checkpoint::open(folder / "out"));
          if (std::string(signal) == "INT" && visible == 0) {
            BOOST_CHECK_EQUAL(folder.names().size(), exists ? 2u : 1u);
            BOOST_CHECK(!exists || fs::is_empty(folder / "out"));
          }
        }
        for (const auto& name : folder.names())
          if (name != "in.safetensors") fs::remove_all(folder / name);
      }
}

BOOST_AUTO_TEST_CASE(a_folder_that_comes_to_be_during_the_conversion_is_not_replaced) {
  const auto in = write("in.safetensors", {{"a", random(100)}, {"b", random(100)}});
  const ConvertPlan plan =
      plan_conversion({.inputs = {in}, .output = folder / "out", .max_shard_bytes = 400});
  Progress progress({.is_quiet = true});
  folder.write("out/theirs.safetensors", "theirs");
  BOOST_CHECK_THROW(write_conversion(plan, progress), Error);
  BOOST_CHECK_EQUAL(read_text(folder / "out/theirs.safetensors"), "theirs");
  BOOST_CHECK_EQUAL(folder.names().size(), 2u);
}

BOOST_AUTO_TEST_CASE(what_a_killed_conversion_left_goes_with_the_next_one) {
  const auto in = write("in.safetensors", {{"a", random(100)}, {"b", random(100)}});
  folder.write("there/config.json", "{}");
  for (const char* const left :
       {".new.4194303-0.partial/a.safetensors", "there/.model.safetensors.4194303-0.partial/a.safetensors"})
    folder.write(left, "half");
  for (const char* const output : {"new", "there"})
    convert_quietly({.inputs = {in}, .output = folder / output, .max_shard_bytes = 400});
  BOOST_CHECK_EQUAL(folder.names().size(), 3u);
  BOOST_CHECK_EQUAL(std::distance(fs::directory_iterator(folder / "new"), {}), 3);
  BOOST_CHECK_EQUAL(std::distance(fs::directory_iterator(folder / "there"), {}), 4);
  check_same_tensors(Checkpoint::open(in), Checkpoint::open(folder / "there"));
}

BOOST_AUTO_TEST_CASE(a_clip_folder_with_a_pytorch_file_runs_and_can_be_converted_in_place) {
  fs::copy(golden / "clip_tiny/config.json", folder / "config.json");
  folder.write("pytorch_model.bin",
               torch_file(io::SafetensorsFile::open(golden / "clip_tiny/model.safetensors")));
  const auto check = [&] {
    const std::string output = (folder / "states.out.safetensors").string();
    const auto result =
        run_program({"encode-tokens", "--encoder", "clip", "--model", folder.path().string(), "--input",
                     (golden / "clip_tiny/io.safetensors").string(), "--output", output, "--quiet"});
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
    STEPVIDEO_CHECK_CLOSE(Checkpoint::open(output).load<float>("output"),
                          Checkpoint::open(golden / "clip_tiny/io.safetensors").load<float>("output"),
                          fp32_bound);
    fs::remove(output);
  };
  check();
  const auto result = run_program({"convert", "--input", (folder / "pytorch_model.bin").string(), "--output",
                                   folder.path().string(), "--quiet"});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  fs::remove(folder / "pytorch_model.bin");
  BOOST_CHECK(fs::exists(folder / "model.safetensors"));
  check();
}

BOOST_AUTO_TEST_SUITE_END()
