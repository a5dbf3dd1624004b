// What a file says of itself: who made it, which tensors it holds.
#define BOOST_TEST_MODULE inspect
#include <span>

#include "io/json.hpp"
#include "io/model_digest.hpp"
#include "io/safetensors.hpp"
#include "support/compare.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using testing::ScratchFolder;
namespace fs = std::filesystem;

namespace {

const std::string demo = STEPVIDEO_DEMO_MODEL;

std::string inspect(const fs::path& path) {
  const auto result = testing::run_program({"inspect", path.string()});
  BOOST_CHECK_MESSAGE(result.exit_code == 0, result.errors);
  BOOST_CHECK_EQUAL(result.errors, "");
  return result.output;
}

io::Json inspect_json(const fs::path& path) {
  const auto result = testing::run_program({"inspect", path.string(), "--json"});
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
  return io::parse_json(result.output, "inspect --json");
}

void run(const std::vector<std::string>& arguments) {
  const auto result = testing::run_program(arguments);
  BOOST_REQUIRE_MESSAGE(result.exit_code == 0, result.errors);
}

void check_holds(const std::string& text, const std::vector<std::string>& phrases) {
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(text.find(phrase) != std::string::npos, "'" << text << "' lacks: " << phrase);
}

void check_refused(const std::vector<std::string>& arguments, const std::string& phrase) {
  std::vector<std::string> all{"inspect"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const auto result = testing::run_program(all);
  BOOST_CHECK_EQUAL(result.exit_code, 2);
  BOOST_CHECK_EQUAL(result.output, "");
  check_holds(result.errors, {phrase});
  BOOST_CHECK_EQUAL(std::ranges::count(result.errors, '\n'), 1);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_output_tells_the_request_the_model_the_version_and_what_its_stages_took) {
  const ScratchFolder folder;
  const std::string text = (folder / "text.safetensors").string(),
                    latents = (folder / "latents.safetensors").string();
  run({"generate", "--model", demo, "--prompt", "a \"red\" circle", "--negative", "blue", "--seed", "7",
       "--steps", "2", "--height", "32", "--width", "48", "--quiet", "--output",
       (folder / "v.mp4").string()});
  auto manifest = inspect_json(folder / "v.mp4").at("manifest");
  BOOST_CHECK_EQUAL(manifest.at("command"), "generate");
  BOOST_CHECK_EQUAL(manifest.at("prompt"), "a \"red\" circle");
  BOOST_CHECK_EQUAL(manifest.at("negative"), "blue");
  BOOST_CHECK_EQUAL(manifest.at("seed"), 7);
  BOOST_CHECK((std::vector<int>{manifest.at("frames"), manifest.at("height"), manifest.at("width")} ==
               std::vector{17, 32, 48}));
  BOOST_CHECK_EQUAL(manifest.at("steps"), 2);
  for (const char* name : {"cfg_scale", "time_shift"}) BOOST_CHECK_GT(manifest.at(name).get<double>(), 0);
  BOOST_CHECK_EQUAL(manifest.at("precision"), "fp32");
  BOOST_CHECK_EQUAL(manifest.at("model").at("components").at("vae"),
                    io::component_digest(demo, io::Component::vae));
  for (const char* stage : {"load Step-LLM", "load transformer", "denoise", "load VAE decoder", "decode"})
    BOOST_CHECK_GT(manifest.at("stages").at(stage).at("seconds").get<double>(), 0);
  check_holds(inspect(folder / "v.mp4"), {"prompt", "a \"red\" circle", "transformer", "decode"});

  run({"encode-text", "--model", demo, "--prompt", "a red circle", "--quiet", "--output", text});
  run({"denoise", "--model", demo, "--conditioning", text, "--steps", "2", "--height", "32", "--width", "32",
       "--quiet", "--output", latents});
  run({"decode", "--model", demo, "--latents", latents, "--quiet", "--output",
       (folder / "d.safetensors").string()});
  run({"encode", "--model", demo, "--video", (folder / "d.safetensors").string(), "--quiet", "--output",
       (folder / "e.safetensors").string()});
  manifest = inspect_json(folder / "e.safetensors").at("manifest");
  BOOST_CHECK_EQUAL(manifest.at("command"), "encode");
  BOOST_CHECK(manifest.at("stages").contains("encode"));
  const auto& decoded = manifest.at("sources").at("video");
  BOOST_CHECK(decoded.at("stages").contains("decode"));
  const auto& denoised = decoded.at("sources").at("latents");
  BOOST_CHECK(denoised.at("stages").contains("denoise"));
  BOOST_CHECK_EQUAL(denoised.at("sources").at("conditioning").at("prompt"), "a red circle");
}

BOOST_AUTO_TEST_CASE(a_single_forward_tells_its_input_its_model_and_what_it_took) {
  struct Forward {
    std::vector<std::string> command;
    std::string model;
    io::Component component;
  };
  const std::vector<Forward> forwards{
      {{"transformer"}, "dit_tiny", io::Component::transformer},
      {{"encode-tokens", "--encoder", "step-llm"}, "step_llm_tiny", io::Component::step_llm},
      {{"encode-tokens", "--encoder", "clip"}, "clip_tiny", io::Component::clip_text_encoder}};
  for (const auto& [command, name, component] : forwards) {
    const ScratchFolder folder;
    const std::string model = STEPVIDEO_TEST_DATA "/golden/" + name, input = model + "/io.safetensors";
    const auto forward = [&](const char* output, const std::vector<std::string>& more) {
      std::vector<std::string> all = command;
      all.insert(all.end(), {"--model", model, "--input", input, "--output", (folder / output).string()});
      all.insert(all.end(), more.begin(), more.end());
      run(all);
      return inspect_json(folder / output).at("manifest");
    };
    const io::Json manifest = forward("out.safetensors", {"--quiet"});
    BOOST_CHECK_EQUAL(manifest.at("command"), command.front());
    BOOST_CHECK_EQUAL(manifest.at("precision"), "fp32");
    BOOST_CHECK_EQUAL(manifest.at("input"), io::tensors_digest(io::StoredTensors::open(input)));
    BOOST_CHECK_EQUAL(manifest.at("model").at("components").at(std::string(io::component_name(component))),
                      io::component_digest(model, component));
    BOOST_CHECK_EQUAL(manifest.at("stages").size(), 2u);
    BOOST_CHECK(!manifest.contains("prompt"));
    check_holds(inspect(folder / "out.safetensors"), {command.front(), "input", "output"});

    const io::Json again = forward("again.safetensors", {"--quiet", "--reproducible"});
    BOOST_CHECK(!again.contains("stages") && !again.at("model").contains("path"));
  }
}

BOOST_AUTO_TEST_CASE(a_reproducible_manifest_holds_no_times_and_no_paths) {
  const ScratchFolder folder;
  const std::string text = (folder / "text.safetensors").string(),
                    latents = (folder / "latents.safetensors").string();
  run({"encode-text", "--model", demo, "--prompt", "a red circle", "--quiet", "--output", text});
  run({"denoise", "--model", demo, "--conditioning", text, "--steps", "2", "--height", "32", "--width", "32",
       "--quiet", "--reproducible", "--output", latents});
  const std::string manifest = inspect_json(latents).at("manifest").dump();
  for (const char* const name : {"stages", "seconds", "path", demo.c_str()})
    BOOST_CHECK_MESSAGE(manifest.find(name) == std::string::npos, manifest);
}

BOOST_AUTO_TEST_CASE(tensors_are_listed_with_their_shapes_dtypes_sizes_and_totals) {
  const ScratchFolder folder;
  const std::vector<std::byte> bytes(24);
  io::write_safetensors(folder / "t.safetensors",
                        {{"b.weight", io::Dtype::f32, {2, 3}, bytes},
                         {"a.bias", io::Dtype::bf16, {5}, std::span(bytes).first(10)},
                         {"s", io::Dtype::i64, {}, std::span(bytes).first(8)}},
                        {{"format", "pt"}});
  const auto report = inspect_json(folder / "t.safetensors");
  BOOST_CHECK_EQUAL(report.at("tensors").size(), 3u);
  BOOST_CHECK_EQUAL(report.at("tensors")[1].dump(),
                    R"({"bytes":24,"dtype":"F32","name":"b.weight","shape":[2,3]})");
  BOOST_CHECK_EQUAL(report.at("totals").dump(),
                    R"({"bytes":42,"dtypes":{"BF16":5,"F32":6,"I64":1},"elements":12,"tensors":3})");
  BOOST_CHECK_EQUAL(report.at("metadata").at("format"), "pt");
  check_holds(inspect(folder / "t.safetensors"),
              {"b.weight", "[2, 3]", "F32", "24 B", "3 tensors, 12 elements, 42 B in BF16, F32, I64"});
}

BOOST_AUTO_TEST_CASE(a_model_is_summed_up_by_component) {
  const auto report = inspect_json(demo);
  std::vector<std::string> names;
  for (const auto& component : report.at("components")) names.push_back(component.at("name"));
  BOOST_CHECK((names == std::vector<std::string>{"transformer", "step_llm", "clip_text_encoder", "vae",
                                                 "step_llm_tokenizer", "clip_tokenizer"}));
  check_holds(inspect(demo),
              {"transformer", "vae_v2.safetensors", "vocab.txt", "tensors", "elements", "in all"});
  const auto component = inspect_json(demo + "/transformer");
  BOOST_CHECK_EQUAL(component.at("files")[0], "diffusion_pytorch_model.safetensors");
  BOOST_CHECK_EQUAL(component.at("totals"), report.at("components")[0].at("totals"));
}

BOOST_AUTO_TEST_CASE(a_digest_changes_with_any_configuration_and_any_tensor_layout_and_not_with_the_place) {
  const ScratchFolder folder;
  const std::vector<std::byte> bytes(96);
  const auto digest = [&](const char* where) {
    return io::component_digest(folder / where, io::Component::transformer);
  };
  const auto write = [&](const std::string& where, const char* config, const char* name, io::Dtype dtype,
                         io::Shape shape) {
    folder.write(where + "/config.json", config);
    const auto size = static_cast<std::size_t>(io::element_count(shape)) * io::dtype_bytes(dtype);
    io::write_safetensors(folder / (where + "/model.safetensors"),
                          {{name, dtype, shape, std::span(bytes).first(size)}});
  };
  write("a", "{}", "w", io::Dtype::f32, {4, 6});
  const std::string first = digest("a");
  BOOST_CHECK_EQUAL(first.size(), 32u);
  write("b", "{}", "w", io::Dtype::f32, {4, 6});
  folder.write("b/README.md", "text");
  BOOST_CHECK_EQUAL(digest("b"), first);
  write("b", "{ }", "w", io::Dtype::f32, {4, 6});
  BOOST_CHECK_NE(digest("b"), first);
  write("b", "{}", "v", io::Dtype::f32, {4, 6});
  BOOST_CHECK_NE(digest("b"), first);
  write("b", "{}", "w", io::Dtype::f32, {6, 4});
  BOOST_CHECK_NE(digest("b"), first);
  write("b", "{}", "w", io::Dtype::i32, {4, 6});
  BOOST_CHECK_NE(digest("b"), first);
  write("b", "{}", "w", io::Dtype::f32, {4, 6});
  auto weights = testing::read_text(folder / "b/model.safetensors");
  weights.back() = 1;
  folder.write("b/model.safetensors", weights);
  BOOST_CHECK_NE(digest("b"), first);
}

BOOST_AUTO_TEST_CASE(hostile_names_do_not_reach_the_terminal) {
  const ScratchFolder folder;
  const std::vector<std::byte> bytes(4);
  io::write_safetensors(
      folder / "t.safetensors", {{"a\x1b[2J\nb", io::Dtype::f32, {1}, bytes}},
      {{"key\x1b]0;x\x07", "value\x1b[1m"}, {"manifest", "{\"stepvideo\":\"\\u001b[3m\"}"}});
  const std::string text = inspect(folder / "t.safetensors");
  BOOST_CHECK(text.find('\x1b') == text.npos && text.find('\x07') == text.npos);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_inspected_is_refused_in_one_sentence) {
  const ScratchFolder folder;
  check_refused({}, "inspect takes one file or folder and 0 are given");
  check_refused({"a", "b"}, "2 are given");
  check_refused({(folder / "none").string()}, "none is not there");
  check_refused({folder.path().string()}, "holds no tensors");
  check_refused({folder.write("v.mp4", "no video").string()}, "v.mp4");
  check_refused({folder.write("t.safetensors", std::string(8, '\xff')).string()}, "t.safetensors");
  check_refused({folder.write("m.bin", "no pickle").string()}, "m.bin");
  check_refused({folder.write("e.safetensors", "").string()}, "e.safetensors");
}

BOOST_AUTO_TEST_CASE(a_manifest_of_manifests_is_printed_to_its_end) {
  const ScratchFolder folder;
  io::Json manifest{{"stepvideo", "0.1.0"}, {"prompt", "the innermost"}};
  for (int depth = 0; depth < 20; ++depth)
    manifest = {{"stepvideo", "0.1.0"}, {"sources", {{"latents", manifest}}}};
  const float value = 0;
  io::write_safetensors(folder / "l.safetensors",
                        {{"latents", io::Dtype::f32, {1}, std::as_bytes(std::span(&value, 1))}},
                        {{"manifest", manifest.dump()}});
  check_holds(inspect(folder / "l.safetensors"), {"prompt the innermost"});
}
