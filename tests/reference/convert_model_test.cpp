// A whole model from one precision and layout to another, and what may be replaced by it.
#define BOOST_TEST_MODULE convert_model
#include <algorithm>
#include <set>

#include "io/checkpoint.hpp"
#include "io/json.hpp"
#include "support/program.hpp"

using namespace stepvideo;
using namespace stepvideo::testing;

namespace fs = std::filesystem;

namespace {

const fs::path demo = STEPVIDEO_DEMO_MODEL;

std::set<std::string> files_below(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) names.insert(entry.path().lexically_relative(folder).string());
  return names;
}

struct Conversions {
  ScratchFolder folder;

  ProgramResult convert(const fs::path& input, const std::string& output, const StringList& more = {}) const {
    return run_program(
        with({"convert", "--input", input.string(), "--output", (folder / output).string()}, more));
  }
  /// The frames that the model makes, as a file without a manifest.
  std::string video_of(const fs::path& model, const std::string& name, const StringList& more = {}) const {
    const std::string output = (folder / (name + ".y4m")).string();
    check_says(run_program(with({"generate", "--model", model.string(), "--prompt", "a red circle moves up",
                                 "--device", "cpu", "--frames", "1", "--steps", "2", "--output", output},
                                more)),
               0, {});
    return read_text(output);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_whole_model_is_converted_and_generates_the_same_video, Conversions) {
  const auto result = convert(demo, "copy");
  check_says(result, 0, {});
  BOOST_CHECK_NE(result.output.find(", and 9 copied"), std::string::npos);
  BOOST_CHECK(files_below(folder / "copy") == files_below(demo));
  for (const char* const same :
       {"model_index.json", "transformer/config.json", "hunyuan_clip/tokenizer/vocab.txt",
        "step_llm/step1_chat_tokenizer.model", "scheduler/scheduler_config.json"})
    BOOST_CHECK_MESSAGE(read_text(folder / "copy" / same) == read_text(demo / same), same);
  BOOST_CHECK(video_of(demo, "of_demo") == video_of(folder / "copy", "of_copy"));
}

BOOST_FIXTURE_TEST_CASE(a_whole_model_in_half_the_bytes_and_in_shards_generates, Conversions) {
  check_says(convert(demo, "half", {"--dtype", "BF16", "--max-shard-size", "2MB"}), 0, {});
  BOOST_CHECK(fs::exists(folder / "half/transformer/diffusion_pytorch_model.safetensors.index.json"));
  BOOST_CHECK(!fs::exists(folder / "half/transformer/diffusion_pytorch_model.safetensors"));
  BOOST_CHECK(fs::exists(folder / "half/vae/vae_v2.safetensors"));  // found by its name
  const auto vae = io::Checkpoint::open(folder / "half/vae/vae_v2.safetensors");
  BOOST_CHECK(vae.tensors().begin()->second.dtype == io::Dtype::bf16);
  // Rounded once or at every load: the same.
  BOOST_CHECK(video_of(demo, "of_demo", {"--precision", "bf16"}) ==
              video_of(folder / "half", "of_half", {"--precision", "bf16"}));
}

BOOST_FIXTURE_TEST_CASE(fp8_is_for_the_transformer_of_a_whole_model, Conversions) {
  check_says(convert(demo, "eight", {"--dtype", "fp8"}), 0, {});
  const auto dtypes = [&](const char* part) {
    const auto checkpoint = io::Checkpoint::open(folder / "eight" / part);
    std::set<io::Dtype> found;
    for (const auto& [name, tensor] : checkpoint.tensors()) found.insert(tensor.dtype);
    return found;
  };
  BOOST_CHECK(dtypes("transformer").contains(io::Dtype::f8_e4m3));
  BOOST_CHECK(!dtypes("step_llm").contains(io::Dtype::f8_e4m3));
  BOOST_CHECK(video_of(demo, "of_demo", {"--precision", "fp8"}) ==
              video_of(folder / "eight", "of_eight", {"--precision", "fp8"}));
  check_says(convert(demo / "hunyuan_clip", "none", {"--dtype", "fp8"}), 2,
             {"--dtype fp8: ", "holds no matrix", "bf16 works"});
}

BOOST_FIXTURE_TEST_CASE(a_component_keeps_what_makes_it_whole, Conversions) {
  for (const char* const part : {"transformer", "step_llm", "vae", "hunyuan_clip"}) {
    check_says(convert(demo / part, part), 0, {});
    BOOST_CHECK_MESSAGE(files_below(folder / part) == files_below(demo / part), part);
  }
  // An index stands for its folder.
  check_says(convert(demo / "transformer", "shards", {"--max-shard-size", "2MB"}), 0, {});
  check_says(convert(folder / "shards/diffusion_pytorch_model.safetensors.index.json", "whole"), 0, {});
  BOOST_CHECK(files_below(folder / "whole") == files_below(demo / "transformer"));
  // One file is one file.
  check_says(convert(demo / "transformer", "t.safetensors"), 0, {});
  BOOST_CHECK(!fs::exists(folder / "config.json"));
}

BOOST_FIXTURE_TEST_CASE(the_usual_names_of_pytorch_become_those_of_safetensors, Conversions) {
  folder.write("model/model_index.json", "{}");
  folder.write("model/part/config.json", "{}");
  fs::copy(fs::path(STEPVIDEO_TEST_DATA "/pickle/usual.bin"), folder / "model/part/pytorch_model.bin");
  check_says(convert(folder / "model", "out"), 0, {});
  BOOST_CHECK((files_below(folder / "out") ==
               std::set<std::string>{"model_index.json", "part/config.json", "part/model.safetensors"}));
}

BOOST_FIXTURE_TEST_CASE(a_component_in_shards_of_a_variant_is_converted_whole, Conversions) {
  check_says(convert(demo, "shards", {"--max-shard-size", "2MB"}), 0, {});
  const fs::path transformer = folder / "shards/transformer";
  fs::rename(transformer / "diffusion_pytorch_model.safetensors.index.json",
             transformer / "diffusion_pytorch_model.safetensors.index.fp16.json");
  check_says(convert(folder / "shards", "joined"), 0, {});
  BOOST_CHECK(files_below(folder / "joined/transformer") ==
              (std::set<std::string>{"config.json", "diffusion_pytorch_model.safetensors"}));
  BOOST_CHECK(video_of(demo, "of_demo") == video_of(folder / "joined", "of_joined"));
}

BOOST_FIXTURE_TEST_CASE(what_a_whole_model_cannot_become_is_refused, Conversions) {
  check_says(convert(demo, "one.safetensors"), 2,
             {"--output: ", "is one file", "a whole model", "a folder works"});
  check_says(convert(demo, "out", {"--rename", "a=b"}), 2, {"--rename: ", "a whole model"});
  check_says(convert(demo, "out", {"--keep", "a"}), 2, {"--keep: ", "a whole model"});
  fs::create_directory(folder / "empty");
  check_says(convert(folder / "empty", "out"), 2, {"holds no tensors"});
  BOOST_CHECK(!fs::exists(folder / "out"));
}

BOOST_FIXTURE_TEST_CASE(a_folder_is_replaced_by_the_same_conversion_or_when_that_is_asked_for, Conversions) {
  const fs::path part = demo / "hunyuan_clip";
  check_says(convert(part, "out"), 0, {});
  const auto before = files_below(folder / "out");
  check_says(convert(part, "out"), 0, {});  // the same
  const std::string weights = read_text(folder / "out/clip_text_encoder/model.safetensors");
  check_says(convert(part, "out", {"--dtype", "fp16"}), 2, {"--output: ", "already holds", "--overwrite"});
  BOOST_CHECK(read_text(folder / "out/clip_text_encoder/model.safetensors") == weights);
  check_says(convert(part, "out", {"--dtype", "fp16", "--overwrite", "--max-shard-size", "500kB"}), 0, {});
  BOOST_CHECK(!fs::exists(folder / "out/clip_text_encoder/model.safetensors"));  // shards took its place
  check_says(convert(part, "out", {"--overwrite"}), 0, {});
  BOOST_CHECK(files_below(folder / "out") == before);
  folder.write("out/thesis.txt", "years of work");
  check_says(convert(part, "out", {"--overwrite"}), 2, {"holds thesis.txt", "would lose"});
  BOOST_CHECK_EQUAL(read_text(folder / "out/thesis.txt"), "years of work");
}

BOOST_FIXTURE_TEST_CASE(a_file_is_replaced_by_the_same_conversion_or_when_that_is_asked_for, Conversions) {
  const fs::path part = demo / "vae";
  folder.write("out.safetensors", "weights of somebody");
  check_says(convert(part, "out.safetensors"), 2, {"--output: ", "is there", "--overwrite replaces it"});
  BOOST_CHECK_EQUAL(read_text(folder / "out.safetensors"), "weights of somebody");
  check_says(convert(part, "out.safetensors", {"--overwrite"}), 0, {});
  check_says(convert(part, "out.safetensors"), 0, {});
  check_says(convert(part, "out.safetensors", {"--dtype", "bf16"}), 2, {"--overwrite replaces it"});
}
