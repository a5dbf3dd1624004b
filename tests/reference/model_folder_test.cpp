#define BOOST_TEST_MODULE model_folder
#include "io/model_folder.hpp"

#include <boost/test/unit_test.hpp>

#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::io;
using namespace stepvideo::testing;

namespace {

struct WholeModel {
  ScratchFolder folder;
  WholeModel() {
    for (const char* name :
         {"model_index.json", "config.json", "transformer/config.json", "step_llm/config.json",
          "step_llm/step1_chat_tokenizer.model", "hunyuan_clip/clip_text_encoder/config.json",
          "hunyuan_clip/tokenizer/vocab.txt", "vae/vae_v2.safetensors"})
      folder.write(name, "{}");
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(every_component_is_found_in_a_whole_model, WholeModel) {
  const auto found = [&](Component component) { return find_component(folder.path(), component); };
  BOOST_CHECK_EQUAL(found(Component::transformer), folder / "transformer");
  BOOST_CHECK_EQUAL(found(Component::step_llm), folder / "step_llm");
  BOOST_CHECK_EQUAL(found(Component::clip_text_encoder), folder / "hunyuan_clip/clip_text_encoder");
  BOOST_CHECK_EQUAL(found(Component::vae), folder / "vae/vae_v2.safetensors");
  BOOST_CHECK_EQUAL(found(Component::step_llm_tokenizer), folder / "step_llm/step1_chat_tokenizer.model");
  BOOST_CHECK_EQUAL(found(Component::clip_tokenizer), folder / "hunyuan_clip/tokenizer/vocab.txt");
}
BOOST_FIXTURE_TEST_CASE(a_components_own_folder_is_accepted, WholeModel) {
  const auto same = [&](const std::string& own, Component component) {
    BOOST_CHECK_EQUAL(find_component(folder / own, component), find_component(folder.path(), component));
  };
  same("transformer", Component::transformer);
  same("step_llm", Component::step_llm);
  same("step_llm", Component::step_llm_tokenizer);
  same("hunyuan_clip/clip_text_encoder", Component::clip_text_encoder);
  same("hunyuan_clip", Component::clip_text_encoder);
  same("hunyuan_clip", Component::clip_tokenizer);
  same("hunyuan_clip/tokenizer", Component::clip_tokenizer);
  same("vae", Component::vae);
  same("vae/vae_v2.safetensors", Component::vae);
}
BOOST_AUTO_TEST_CASE(the_golden_folders_are_components) {
  const std::filesystem::path golden = STEPVIDEO_TEST_DATA "/golden";
  BOOST_CHECK_EQUAL(find_component(golden / "dit_tiny", Component::transformer), golden / "dit_tiny");
  BOOST_CHECK_EQUAL(find_component(golden / "step_llm_tiny", Component::step_llm), golden / "step_llm_tiny");
  BOOST_CHECK_EQUAL(find_component(golden / "clip_tiny", Component::clip_text_encoder), golden / "clip_tiny");
  BOOST_CHECK_EQUAL(find_component(golden / "vae_tiny", Component::vae),
                    golden / "vae_tiny/vae_v2.safetensors");
}
BOOST_FIXTURE_TEST_CASE(a_folder_that_is_not_there_is_named, WholeModel) {
  check_refused([&] { find_component(folder / "gone", Component::vae); },
                {"--model", "gone is not there", "vae/vae_v2.safetensors"});
}
BOOST_FIXTURE_TEST_CASE(a_missing_component_says_what_was_looked_for, WholeModel) {
  std::filesystem::remove_all(folder / "transformer");
  check_refused([&] { find_component(folder.path(), Component::transformer); },
                {"--model", "holds no transformer", "transformer/config.json"});
  check_refused([&] { find_component(folder / "vae", Component::clip_tokenizer); },
                {"holds no clip_tokenizer", "hunyuan_clip/tokenizer/vocab.txt"});
}
BOOST_FIXTURE_TEST_CASE(a_file_is_no_transformer, WholeModel) {
  check_refused([&] { find_component(folder / "config.json", Component::transformer); },
                {"--model", "is a file"});
}
BOOST_AUTO_TEST_CASE(without_an_index_the_defaults_are_the_releases) {
  const ScratchFolder folder;
  const auto defaults = read_generation_defaults(folder.path());
  BOOST_CHECK((defaults == GenerationDefaults{204, 544, 992, 50, 9.0, 13.0}));
  folder.write("model_index.json", R"({"_class_name": "StepVideoPipeline"})");
  BOOST_CHECK(read_generation_defaults(folder.path()) == defaults);
}
BOOST_AUTO_TEST_CASE(the_index_sets_the_defaults_it_names) {
  const ScratchFolder folder;
  folder.write("model_index.json",
               R"({"generation": {"frames": 17, "height": 128, "steps": 8, "cfg_scale": 5}})");
  BOOST_CHECK((read_generation_defaults(folder.path()) == GenerationDefaults{17, 128, 992, 8, 5.0, 13.0}));
}
BOOST_AUTO_TEST_CASE(a_default_of_the_wrong_kind_is_named) {
  const ScratchFolder folder;
  folder.write("model_index.json", R"({"generation": {"frames": "17"}})");
  check_refused([&] { read_generation_defaults(folder.path()); }, {"model_index.json", R"("frames")"});
}
