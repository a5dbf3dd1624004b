// Recorded machines and what doctor says of them.
#define BOOST_TEST_MODULE doctor_checks
#include <algorithm>
#include <filesystem>

#include <boost/test/unit_test.hpp>

#include "doctor/diagnosis.hpp"
#include "doctor/version.hpp"
#include "io/json.hpp"
#include "support/scratch_folder.hpp"

using namespace stepvideo;
using namespace stepvideo::doctor;
using testing::check_refused;
using testing::ScratchFolder;

namespace {

namespace fs = std::filesystem;

MachineFacts recorded(const std::string& name) {
  return read_machine_facts(fs::path(STEPVIDEO_TEST_DATA "/machines") / (name + ".json"));
}

const Finding& finding(const Diagnosis& diagnosis, const std::string& check) {
  const auto found = std::ranges::find(diagnosis.findings, check, &Finding::check);
  BOOST_REQUIRE_MESSAGE(found != diagnosis.findings.end(), "no line about " << check);
  return *found;
}

/// Checks a line's verdict, and that found, wanted and fix together hold every phrase.
void check_line(const Diagnosis& diagnosis, const std::string& check, Verdict verdict,
                const std::vector<std::string>& phrases) {
  const Finding& line = finding(diagnosis, check);
  BOOST_CHECK_MESSAGE(line.verdict == verdict, check << " is " << to_string(line.verdict));
  const std::string text = line.found + " | " + line.wanted + " | " + line.fix;
  for (const auto& phrase : phrases)
    BOOST_CHECK_MESSAGE(text.find(phrase) != text.npos, "'" << text << "' lacks: " << phrase);
}

bool has_line(const Diagnosis& diagnosis, const std::string& check) {
  return std::ranges::find(diagnosis.findings, check, &Finding::check) != diagnosis.findings.end();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_healthy_machine_is_fit_and_every_line_is_ok) {
  const auto diagnosis = diagnose(recorded("h200_x8_healthy"), {});
  for (const auto& line : diagnosis.findings)
    BOOST_CHECK_MESSAGE(line.verdict == Verdict::ok, line.check << ": " << line.found);
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 0);
  BOOST_CHECK_EQUAL(diagnosis.sentence, "Fit to run on 8 GPUs. A run of this version uses one of them.");
  check_line(diagnosis, "links", Verdict::ok, {"28 of 28 pairs NVLink", "18 links a GPU"});
  check_line(diagnosis, "NCCL", Verdict::ok, {"shrink", "windows", "native all-to-all", "revoke"});
}
BOOST_AUTO_TEST_CASE(a_recorded_h200_is_fit_but_for_a_build_whose_models_run_on_the_cpu) {
  const auto diagnosis = diagnose(recorded("h200_x1_recorded"), {});
  for (const auto& line : diagnosis.findings)
    BOOST_CHECK_MESSAGE((line.verdict == Verdict::ok) == (line.check != "stepvideo"),
                        line.check << ": " << line.found);
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 1);
  check_line(diagnosis, "cuBLAS", Verdict::ok, {"13.1.0.3"});
  check_line(diagnosis, "GPUs", Verdict::ok, {"1 x NVIDIA H200", "compute 9.0"});
  check_line(diagnosis, "NCCL_VERSION", Verdict::ok, {"2.28.3-1", "set in vain"});
}
BOOST_AUTO_TEST_CASE(an_h20_with_an_old_cublas_will_not_run) {
  const auto diagnosis = diagnose(recorded("h20_x8_old_cublas"), {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 2);
  check_line(diagnosis, "cuBLAS", Verdict::unfit,
             {"12.4.5.8", "12.5.2.13", "SIGFPE", "pip install 'nvidia-cublas-cu12>=12.5.3.2'"});
  check_line(diagnosis, "NCCL", Verdict::warning, {"2.20.5", "revoke", "nvidia-nccl-cu12>=2.28.9"});
  check_line(diagnosis, "NCCL_BUFFSIZE", Verdict::ok, {"in vain", "timeout", "unset NCCL_BUFFSIZE"});
  check_line(diagnosis, "TORCH_NCCL_HEARTBEAT_TIMEOUT_SEC", Verdict::ok, {"in vain", "10 minutes"});
  BOOST_CHECK(diagnosis.sentence.find("cuBLAS") != std::string::npos);
}
BOOST_AUTO_TEST_CASE(the_first_sound_cublas_is_told_to_the_last_part) {
  auto machine = recorded("h20_x8_old_cublas");
  const auto verdict_of = [&](const char* version) {
    machine.libraries[1].version = version;
    return finding(diagnose(machine, {}), "cuBLAS").verdict;
  };
  BOOST_CHECK(verdict_of("12.5.2.12") == Verdict::unfit);
  BOOST_CHECK(verdict_of("12.5.2.13") == Verdict::ok);
  BOOST_CHECK(verdict_of("12.5.2") == Verdict::unknown);
  BOOST_CHECK(verdict_of("12.5.3") == Verdict::ok);
  BOOST_CHECK(verdict_of("12.5.1") == Verdict::unfit);
  machine.libraries[1].version = "12.4.5.8";
  for (auto& gpu : machine.gpus) gpu.name = "NVIDIA A100-SXM4-80GB";
  BOOST_CHECK(finding(diagnose(machine, {}), "cuBLAS").verdict == Verdict::ok);
}
BOOST_AUTO_TEST_CASE(three_gpus_without_peer_access_run_with_warnings) {
  const auto diagnosis = diagnose(recorded("rtx4090_x3_no_peers"), {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 1);
  check_line(diagnosis, "peer access", Verdict::warning, {"0 of 3 pairs", "host memory"});
  check_line(diagnosis, "links", Verdict::warning, {"PCIe (phb)", "GPU 2: PCIe x8 of x16", "--link pcie"});
  check_line(diagnosis, "GPU count", Verdict::ok, {"3"});
  check_line(diagnosis, "GPU memory", Verdict::warning, {"24.0 GiB", "stepvideo plan --gpus 3"});
  check_line(diagnosis, "locked memory", Verdict::warning, {"8 MiB", "memlock=-1"});
  check_line(diagnosis, "open files", Verdict::warning, {"1024", "ulimit -n 4096"});
  check_line(diagnosis, "GPU state", Verdict::ok, {"persistence off", "nvidia-smi -pm 1"});
}
BOOST_AUTO_TEST_CASE(counts_that_divide_neither_heads_nor_guidance_name_what_works) {
  const auto machine = recorded("h200_x8_healthy");
  for (int gpus : {5, 7})
    check_line(diagnose(machine, {.gpus = gpus, .model = {}}), "GPU count", Verdict::ok,
               {"do not divide", "ring or uneven", "stepvideo plan"});
}
BOOST_AUTO_TEST_CASE(a_containers_64_mib_of_shared_memory_are_too_few_without_peers) {
  auto machine = recorded("l40s_x4_shm_64m");
  const auto diagnosis = diagnose(machine, {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 2);
  check_line(diagnosis, "/dev/shm", Verdict::unfit, {"64 MiB", "1 GiB", "--shm-size=1g"});
  BOOST_CHECK_MESSAGE(!has_line(diagnose(machine, {.gpus = 1, .model = {}}), "/dev/shm"),
                      "one GPU has no peers");
  for (auto& link : machine.links) link.peer_access = true;
  check_line(diagnose(machine, {}), "/dev/shm", Verdict::warning, {"64 MiB"});
}
BOOST_AUTO_TEST_CASE(a_laptop_without_a_gpu_runs_on_the_cpu) {
  const auto machine = recorded("laptop_without_gpu");
  const auto diagnosis = diagnose(machine, {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 0);
  BOOST_CHECK_EQUAL(diagnosis.sentence, "Fit to run on the CPU: the demo model fits, the release does not.");
  check_line(diagnosis, "memory", Verdict::ok, {"31.0 GiB", "109 GiB in fp32", "55 in bf16"});
  BOOST_CHECK(!has_line(diagnosis, "NCCL"));
  const auto wants_two = diagnose(machine, {.gpus = 2, .model = {}});
  BOOST_CHECK_EQUAL(wants_two.exit_code(), 2);
  check_line(wants_two, "driver", Verdict::unfit, {"libnvidia-ml.so.1", "cuda-drivers"});
  check_line(wants_two, "GPUs", Verdict::unfit, {"none", "2 of compute capability"});
}
BOOST_AUTO_TEST_CASE(a_driver_too_old_for_the_runtime_names_the_one_that_serves) {
  const auto diagnosis = diagnose(recorded("h100_x2_old_driver"), {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 2);
  check_line(diagnosis, "CUDA runtime", Verdict::unfit, {"13.0.88", "580", "550.54.15", "cuda-drivers-580"});
}
BOOST_AUTO_TEST_CASE(little_free_memory_and_throttling_are_warnings_that_name_the_gpu) {
  const auto diagnosis = diagnose(recorded("a100_x2_busy_and_throttled"), {});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 1);
  check_line(diagnosis, "GPU memory", Verdict::warning, {"GPU 0: 6.0 of 80.0 GiB", "query-compute-apps"});
  check_line(diagnosis, "GPU clocks", Verdict::warning,
             {"GPU 1: hw_slowdown, hw_thermal", "600 of 1410 MHz", "92 C"});
  check_line(diagnosis, "CUDA_LAUNCH_BLOCKING", Verdict::warning, {"unset CUDA_LAUNCH_BLOCKING"});
  check_line(diagnosis, "NCCL_P2P_DISABLE", Verdict::warning, {"host memory"});
  check_line(diagnosis, "NCCL_TIMEOUT", Verdict::ok, {"in vain", "no such variable"});
  check_line(diagnosis, "PYTORCH_CUDA_ALLOC_CONF", Verdict::ok, {"in vain"});
  check_line(diagnosis, "OMP_NUM_THREADS", Verdict::warning, {"at most 208"});
}
BOOST_AUTO_TEST_CASE(sick_gpus_are_named_with_their_cure) {
  auto machine = recorded("h200_x8_healthy");
  machine.gpus[2].has_mig = true;
  check_line(diagnose(machine, {}), "GPU state", Verdict::unfit, {"GPU 2: MIG on", "-i 2 -mig 0"});
  machine.gpus[2].has_mig = false;
  machine.gpus[5].uncorrected_errors = 3;
  check_line(diagnose(machine, {}), "GPU state", Verdict::warning, {"GPU 5: 3 uncorrected"});
  machine.gpus[6].compute_mode = "prohibited";
  check_line(diagnose(machine, {}), "GPU state", Verdict::unfit, {"GPU 5: 3", "GPU 6", "-i 6 -c DEFAULT"});
  machine.gpus[1].nvlinks = 17;
  check_line(diagnose(machine, {}), "links", Verdict::warning, {"17 to 18", "nvlink --status"});
  check_line(diagnose(machine, {.gpus = 1, .model = {}}), "GPU state", Verdict::ok, {});
}
BOOST_AUTO_TEST_CASE(a_fabric_that_is_not_ready_is_told_by_what_cuinit_answers) {
  auto machine = recorded("h200_x8_healthy");
  machine.driver.init_error = 802;
  check_line(diagnose(machine, {}), "driver", Verdict::unfit, {"802", "nvidia-fabricmanager"});
  machine.driver.init_error.reset();
  machine.driver.problems = {"libcuda.so.1 did not answer within 30 s"};
  check_line(diagnose(machine, {}), "driver", Verdict::unfit, {"did not answer within 30 s", "nvidia-smi"});
  machine.driver.init_error = 0;
  machine.driver.problems = {"NVML has lost GPU 3"};
  check_line(diagnose(machine, {}), "driver", Verdict::warning, {"lost GPU 3"});
}
BOOST_AUTO_TEST_CASE(hidden_gpus_are_counted_and_unhidden) {
  auto machine = recorded("h200_x8_healthy");
  for (std::size_t i = 2; i < 8; ++i) machine.gpus[i].is_visible = false;
  BOOST_CHECK_EQUAL(diagnose(machine, {}).sentence, "Fit to run on 2 GPUs. A run of this version uses one of them.");
  check_line(diagnose(machine, {.gpus = 4, .model = {}}), "GPUs", Verdict::unfit,
             {"2 x NVIDIA H200, 6 hidden", "unset CUDA_VISIBLE_DEVICES"});
}
BOOST_AUTO_TEST_CASE(what_could_not_be_read_is_unknown_and_forbids_nothing) {
  auto machine = recorded("h200_x8_healthy");
  for (auto& link : machine.links) link.peer_access.reset();
  const auto diagnosis = diagnose(machine, {});
  check_line(diagnosis, "peer access", Verdict::unknown, {"topo -p2p"});
  BOOST_CHECK_EQUAL(diagnosis.exit_code(), 0);
  BOOST_CHECK_EQUAL(diagnosis.sentence, "Fit to run on 8 GPUs. A run of this version uses one of them. Could not be told: peer access.");
}
BOOST_AUTO_TEST_CASE(a_missing_nccl_matters_from_two_gpus_on) {
  auto machine = recorded("h200_x8_healthy");
  machine.libraries[2].version.reset();
  machine.libraries[2].problem = "libnccl.so.2 died of signal 11 (Segmentation fault)";
  check_line(diagnose(machine, {}), "NCCL", Verdict::unfit, {"signal 11"});
  BOOST_CHECK_EQUAL(diagnose(machine, {.gpus = 1, .model = {}}).exit_code(), 0);
}
BOOST_AUTO_TEST_CASE(variables_are_told_apart_by_what_reads_them) {
  auto machine = recorded("h200_x8_healthy");
  machine.environment = {{"NCCL_BUFFERSIZE", "1"},
                         {"NCCL_SOCKET_IFNAME", "eth9"},
                         {"NCCL_ALGO", "Ring"},
                         {"CUDA_DEVICE_MAX_CONNECTIONS", "1"},
                         {"MKL_NUM_THREADS", "8"},
                         {"OMP_NUM_THREADS", "x"},
                         {"CUBLAS_WORKSPACE_CONFIG", ":4096:8"}};
  const auto diagnosis = diagnose(machine, {});
  check_line(diagnosis, "NCCL_BUFFERSIZE", Verdict::ok, {"in vain", "no such variable"});
  check_line(diagnosis, "NCCL_SOCKET_IFNAME", Verdict::unfit, {"eth9", "network interface"});
  check_line(diagnosis, "NCCL_ALGO", Verdict::warning, {"unset"});
  check_line(diagnosis, "CUDA_DEVICE_MAX_CONNECTIONS", Verdict::warning, {"unset"});
  check_line(diagnosis, "MKL_NUM_THREADS", Verdict::ok, {"in vain"});
  check_line(diagnosis, "OMP_NUM_THREADS", Verdict::warning, {"positive"});
  check_line(diagnosis, "CUBLAS_WORKSPACE_CONFIG", Verdict::ok, {"in vain"});
  for (const char* matching : {"eth", "=eth0", "^ib", "ib0,eth7"}) {
    machine.environment = {{"NCCL_SOCKET_IFNAME", matching}};
    check_line(diagnose(machine, {}), "NCCL_SOCKET_IFNAME", Verdict::ok, {});
  }
}
BOOST_AUTO_TEST_CASE(a_processor_without_the_builds_instructions_will_not_run) {
  auto machine = recorded("laptop_without_gpu");
  machine.build.cpu_features.emplace_back("amx_bf16");
  check_line(diagnose(machine, {}), "processor", Verdict::unfit, {"amx_bf16", "portable"});
}
BOOST_AUTO_TEST_CASE(an_output_place_must_exist_be_writable_and_have_room) {
  auto machine = recorded("laptop_without_gpu");
  machine.host.output_free_bytes = 1u << 30;
  check_line(diagnose(machine, {}), "output", Verdict::warning, {"1.0 GiB free", "du "});
  machine.host.output_writable = false;
  check_line(diagnose(machine, {}), "output", Verdict::unfit, {"not writable"});
  machine.host.output_free_bytes.reset();
  check_line(diagnose(machine, {}), "output", Verdict::unfit, {"does not exist", "mkdir"});
}
BOOST_AUTO_TEST_CASE(a_build_that_leaves_gpus_idle_says_so) {
  auto machine = recorded("h200_x8_healthy");
  machine.build.model_on_gpu = false;
  const auto diagnosis = diagnose(machine, {});
  check_line(diagnosis, "stepvideo", Verdict::warning, {"models on the CPU"});
  BOOST_CHECK(diagnosis.sentence.starts_with("Will run on the CPU with 1 warning"));
  machine.build.video = machine.build.text = false;
  check_line(diagnose(machine, {}), "video files", Verdict::warning, {"STEPVIDEO_VIDEO=ON"});
  check_line(diagnose(machine, {}), "tokenizers", Verdict::warning, {"STEPVIDEO_TEXT=ON"});
}
BOOST_AUTO_TEST_CASE(facts_survive_being_written_and_read) {
  for (const auto& entry : fs::directory_iterator(STEPVIDEO_TEST_DATA "/machines")) {
    if (entry.path().extension() != ".json") continue;
    BOOST_TEST_CONTEXT(entry.path().filename()) {
      const auto json = io::read_json(entry.path());
      BOOST_CHECK(to_json(machine_facts(json, "again")) == json);
    }
  }
}
BOOST_AUTO_TEST_CASE(facts_with_a_field_missing_or_wrong_are_refused_by_name) {
  const auto whole = to_json(recorded("rtx4090_x3_no_peers"));
  const auto refused = [&](auto change, const std::vector<std::string>& phrases) {
    auto json = whole;
    change(json);
    check_refused([&] { machine_facts(json, "m.json"); }, phrases);
  };
  refused([](auto& json) { json.erase("host"); }, {"m.json", "\"host\""});
  refused([](auto& json) { json["host"].erase("cores"); }, {"m.json: host", "\"cores\""});
  refused([](auto& json) { json["host"]["cores"] = 0; }, {"\"cores\"", "at least 1"});
  refused([](auto& json) { json["host"]["memory_bytes"] = -1; }, {"\"memory_bytes\"", "whole number"});
  refused([](auto& json) { json["gpus"][1].erase("name"); }, {"gpus[1]", "\"name\""});
  refused([](auto& json) { json["gpus"] = 3; }, {"\"gpus\""});
  refused([](auto& json) { json["gpus"][0]["has_ecc"] = "no"; }, {"gpus[0]", "\"has_ecc\"", "true or false"});
  refused([](auto& json) { json["links"][0]["to"] = 3; }, {"GPUs 0 and 3", "3 are listed"});
  refused([](auto& json) { json["environment"]["A"] = 1; }, {"\"A\"", "string"});
  refused([](auto& json) { json["format"] = 2; }, {"\"format\" is 2", "reads 1"});
  refused([](auto& json) { json = io::Json::array(); }, {"\"format\""});
}
BOOST_AUTO_TEST_CASE(text_has_one_line_a_finding_and_the_sentence_last) {
  auto machine = recorded("rtx4090_x3_no_peers");
  machine.environment["NCCL_DEBUG"] = "INFO\n\033[2J";
  const auto diagnosis = diagnose(machine, {});
  const std::string text = to_text(diagnosis, false);
  BOOST_CHECK_EQUAL(std::ranges::count(text, '\n'), std::ssize(diagnosis.findings) + 1);
  BOOST_CHECK(text.find('\033') == text.npos);
  BOOST_CHECK(text.ends_with(diagnosis.sentence + "\n"));
  BOOST_CHECK(to_text(diagnosis, true).find("\033[33mwarning") != std::string::npos);
  const auto json = to_json(diagnosis, machine);
  BOOST_CHECK_EQUAL(json.at("verdict"), "warning");
  BOOST_CHECK_EQUAL(json.at("checks").size(), diagnosis.findings.size());
}
BOOST_AUTO_TEST_CASE(versions_compare_by_their_numbers) {
  BOOST_CHECK(Version("12.5.2.13") > Version("12.5.2.9"));
  BOOST_CHECK(Version("2.28") == Version("2.28.0"));
  BOOST_CHECK(Version("580.65.06") > Version("550.54.15"));
  BOOST_CHECK(Version("12.5.2").is_too_short_to_tell(Version("12.5.2.13")));
  BOOST_CHECK(!Version("12.5").is_too_short_to_tell(Version("12.4.1")));
  BOOST_CHECK(Version("unknown").is_empty());
}
