// Checkpoints that lack something.
#define BOOST_TEST_MODULE doctor_checkpoint
#include <algorithm>
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "doctor/diagnosis.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::doctor;
using testing::check_refused;
using testing::ScratchFolder;

namespace {

namespace fs = std::filesystem;

const fs::path golden = STEPVIDEO_TEST_DATA "/golden";

/// The demo model, where it can be broken.
struct BrokenModel {
  ScratchFolder folder;
  MachineFacts machine =
      read_machine_facts(fs::path(STEPVIDEO_TEST_DATA "/machines/laptop_without_gpu.json"));

  BrokenModel() { fs::copy(STEPVIDEO_DEMO_MODEL, folder.path(), fs::copy_options::recursive); }

  Finding line(const std::string& check) const {
    const auto diagnosis = diagnose(machine, {.gpus = {}, .model = folder.path()});
    const auto found = std::ranges::find(diagnosis.findings, check, &Finding::check);
    BOOST_REQUIRE_MESSAGE(found != diagnosis.findings.end(), "no line about " << check);
    return *found;
  }
  void check_unfit(const std::string& check, const std::vector<std::string>& phrases) const {
    const Finding found = line(check);
    BOOST_CHECK_MESSAGE(found.verdict == Verdict::unfit, check << " is " << to_string(found.verdict));
    const std::string text = found.found + " | " + found.wanted + " | " + found.fix;
    for (const auto& phrase : phrases)
      BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_demo_model_is_whole, BrokenModel) {
  const auto diagnosis = diagnose(machine, {.gpus = {}, .model = folder.path()});
  for (const auto& found : diagnosis.findings)
    BOOST_CHECK_MESSAGE(found.verdict == Verdict::ok, found.check << ": " << found.found);
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 0);
  for (const char* check : {"transformer", "step_llm", "clip", "vae", "step_llm tokenizer", "clip tokenizer"})
    BOOST_CHECK(!line(check).found.empty());
  BOOST_CHECK(line("transformer").found.find("not the release's list") != std::string::npos);
}
BOOST_FIXTURE_TEST_CASE(a_missing_part_is_named_with_its_download, BrokenModel) {
  fs::remove_all(folder / "vae");
  check_unfit("vae", {"missing", "hf download", "--include 'vae/*'"});
  fs::remove(folder / "step_llm/step1_chat_tokenizer.model");
  check_unfit("step_llm tokenizer", {"missing"});
}
BOOST_FIXTURE_TEST_CASE(a_cut_file_is_told, BrokenModel) {
  fs::resize_file(folder / "transformer/diffusion_pytorch_model.safetensors", 100'000);
  check_unfit("transformer", {"diffusion_pytorch_model.safetensors", "hf download"});
}
BOOST_FIXTURE_TEST_CASE(shards_that_the_index_names_are_all_looked_for, BrokenModel) {
  const auto file = folder / "transformer/diffusion_pytorch_model.safetensors";
  fs::rename(file, folder / "transformer/part-1.safetensors");
  folder.write(
      "transformer/diffusion_pytorch_model.safetensors.index.json",
      R"({"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors", "c": "part-3.safetensors"}})");
  check_unfit("transformer", {"shards missing: part-2.safetensors, part-3.safetensors"});
}
BOOST_FIXTURE_TEST_CASE(a_configuration_that_asks_for_other_tensors_is_told, BrokenModel) {
  fs::copy(golden / "dit_tiny/config.json", folder / "transformer/config.json",
           fs::copy_options::overwrite_existing);
  check_unfit("transformer", {"does not fit its configuration", "more"});
}
BOOST_FIXTURE_TEST_CASE(a_pointer_left_by_git_is_told, BrokenModel) {
  folder.write("hunyuan_clip/tokenizer/vocab.txt",
               "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  check_unfit("clip tokenizer", {"git-lfs pointer", "lfs pull"});
  folder.write("hunyuan_clip/tokenizer/vocab.txt", "");
  check_unfit("clip tokenizer", {"0 bytes"});
}
BOOST_FIXTURE_TEST_CASE(one_components_folder_is_judged_as_that, BrokenModel) {
  const auto diagnosis = diagnose(machine, {.gpus = {}, .model = golden / "dit_tiny"});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 0);
  check_refused([&] { diagnose(machine, {.gpus = {}, .model = folder / "gone"}); }, {"--model", "gone"});
  folder.write("empty/notes.txt", "nothing");
  check_refused([&] { diagnose(machine, {.gpus = {}, .model = folder / "empty"}); }, {"--model", "holds no"});
}
BOOST_FIXTURE_TEST_CASE(a_model_larger_than_memory_is_refused_on_the_cpu, BrokenModel) {
  machine.host.memory_bytes = 5'000'000;
  check_unfit("model in memory", {"fp32", "bf16"});
  machine.host.memory_bytes = 12'000'000;
  BOOST_CHECK(line("model in memory").verdict == Verdict::warning);
}
