// The program, the driver, and the libraries.
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "doctor/checks.hpp"
#include "doctor/version.hpp"

namespace stepvideo::doctor {
namespace {

/// The CUDA major version whose packages fit this machine.
int cuda_major(const MachineFacts& machine) {
  for (const auto& text : {machine.build.cuda, machine.driver.cuda})
    if (text) return Version(*text).major_part();
  return 13;
}

/// How to get a newer library, by where the one at hand came from.
std::string install(const LibraryFacts* library, const std::string& wheel, const std::string& package) {
  const bool is_wheel =
      library != nullptr && library->path && library->path->find("site-packages") != std::string::npos;
  return is_wheel ? fmt::format("pip install '{}'", wheel) : "sudo apt-get install --yes " + package;
}

const char* init_error_name(int error) {
  switch (error) {
    case 3:
      return "not initialized";
    case 46:
      return "device unavailable";
    case 100:
      return "no device";
    case 101:
      return "invalid device";
    case 802:
      return "system not ready";
    case 803:
      return "driver and library versions differ";
    case 804:
      return "compatibility package on a GPU that does not support it";
    default:
      return "see cudaError in the CUDA driver API reference";
  }
}

std::string init_error_fix(int error) {
  switch (error) {
    case 100:
      return "unset CUDA_VISIBLE_DEVICES; nvidia-smi -L";
    case 802:
      return "sudo systemctl restart nvidia-fabricmanager";
    case 803:
      return "sudo reboot";
    case 804:
      return "export LD_LIBRARY_PATH=$(echo $LD_LIBRARY_PATH | sed 's|[^:]*/compat:*||')";
    default:
      return "sudo dmesg | grep -i -e NVRM -e Xid";
  }
}

}  // namespace

Findings check_build(const Case& subject) {
  const BuildFacts& build = subject.machine.build;
  Findings findings{{"stepvideo", Verdict::ok,
                     build.version + (build.cuda ? ", CUDA " + *build.cuda : std::string(", host only")), "",
                     ""}};
  if (!build.cuda && subject.gpus > 0) {
    findings.back().verdict = Verdict::warning;
    findings.back().wanted = "a build with CUDA: this one leaves the GPUs idle";
    findings.back().fix = "cmake --preset release && cmake --build --preset release";
  } else if (!build.model_on_gpu && subject.gpus > 0) {
    findings.back().verdict = Verdict::warning;
    findings.back().wanted = "this version measures kernels on GPUs (bench) and runs models on the CPU";
  }
  if (!build.video)
    findings.push_back(
        {"video files", Verdict::warning, "not built", ".mp4; only .safetensors is written",
         "sudo apt-get install --yes libavformat-dev libavcodec-dev libswscale-dev libavfilter-dev && "
         "cmake -B build -DSTEPVIDEO_VIDEO=ON && cmake --build build"});
  if (!build.text)
    findings.push_back({"tokenizers", Verdict::warning, "not built", "--prompt; only token ids are read",
                        "sudo apt-get install --yes libsentencepiece-dev libicu-dev && "
                        "cmake -B build -DSTEPVIDEO_TEXT=ON && cmake --build build"});
  return findings;
}

Findings check_driver(const Case& subject) {
  const DriverFacts& driver = subject.machine.driver;
  if (subject.gpus == 0 && subject.machine.gpus.empty() && !driver.version && !driver.cuda) return {};
  Finding finding{.check = "driver", .found = {}, .wanted = {}, .fix = {}};
  if (!driver.version && !driver.cuda) {
    finding.verdict = subject.gpus > 0 ? Verdict::unfit : Verdict::unknown;
    finding.found = driver.problems.empty() ? "none" : driver.problems.front();
    finding.wanted = "NVIDIA's driver; in a container, docker run --gpus all";
    finding.fix = "nvidia-smi || sudo apt-get install --yes cuda-drivers";
    return {finding};
  }
  finding.found =
      fmt::format("{}, CUDA {}", driver.version.value_or("version unknown"), driver.cuda.value_or("unknown"));
  if (driver.init_error.value_or(0) != 0) {
    finding.verdict = Verdict::unfit;
    finding.found +=
        fmt::format("; cuInit: {} ({})", *driver.init_error, init_error_name(*driver.init_error));
    finding.wanted = "cuInit: 0";
    finding.fix = init_error_fix(*driver.init_error);
  } else if (!driver.problems.empty()) {
    // Without an answer of cuInit there is no CUDA; without NVML there are only fewer facts.
    finding.verdict = subject.gpus > 0 && !driver.init_error ? Verdict::unfit : Verdict::warning;
    finding.found += fmt::format("; {}", fmt::join(driver.problems, "; "));
    finding.wanted = "every library of the driver, answering";
    finding.fix = "nvidia-smi";
  }
  return {finding};
}

Findings check_runtime(const Case& subject) {
  const auto& [build, host, driver, libraries, gpus, links, environment] = subject.machine;
  if (subject.gpus == 0 || (!driver.version && !driver.cuda)) return {};
  const LibraryFacts* const cudart = subject.machine.library("cudart");
  // A CUDA build brings its runtime along; a host-only one says what a rebuild would meet.
  const auto runtime = build.cuda ? build.cuda : cudart != nullptr ? cudart->version : std::nullopt;
  Finding finding{.check = "CUDA runtime",
                  .found = runtime.value_or("none") + (build.cuda ? " (built in)" : ""),
                  .wanted = {},
                  .fix = {}};
  if (!runtime || !driver.cuda) {
    finding.verdict = Verdict::unknown;
    finding.wanted = "a runtime that the driver serves";
    return {finding};
  }
  // docs.nvidia.com/deploy/cuda-compatibility: within one major version an older driver serves; across, none.
  const int needed = Version(*runtime).major_part();
  const int least_driver = needed >= 13 ? 580 : needed == 12 ? 525 : 450;
  finding.wanted = fmt::format("CUDA {} or older: what driver {} serves", Version(*driver.cuda).major_part(),
                               driver.version.value_or("at hand"));
  if (needed <= Version(*driver.cuda).major_part()) return {finding};
  finding.verdict = build.cuda ? Verdict::unfit : Verdict::warning;
  finding.wanted = fmt::format("driver {} or newer; {} serves CUDA {}", least_driver,
                               driver.version.value_or("the one at hand"), *driver.cuda);
  finding.fix = fmt::format("sudo apt-get install --yes cuda-drivers-{} && sudo reboot", least_driver);
  return {finding};
}

Findings check_cublas(const Case& subject) {
  if (subject.gpus == 0) return {};
  const Version first_sound{12, 5, 2, 13};
  const LibraryFacts* const cublas = subject.machine.library("cublasLt");
  Finding finding{.check = "cuBLAS", .found = {}, .wanted = "any", .fix = {}};
  bool is_affected = false;
  for (const auto index : subject.used) {
    const auto& name = subject.gpu(index).name;
    if (name.find("H20") == name.npos) continue;  // H20 and H200
    is_affected = true;
    finding.wanted = fmt::format("12.5.2.13 or newer: older ones end in SIGFPE on {}", name);
  }
  finding.fix = cuda_major(subject.machine) >= 13
                    ? install(cublas, "nvidia-cublas>=13", "libcublas-13-0")
                    : install(cublas, "nvidia-cublas-cu12>=12.5.3.2", "libcublas-12-8");
  if (cublas == nullptr || !cublas->version) {
    finding.verdict = is_affected ? Verdict::warning : Verdict::unknown;
    finding.found = cublas != nullptr && cublas->problem ? *cublas->problem : "none";
    finding.fix = "export LD_LIBRARY_PATH=/usr/local/cuda/lib64:$LD_LIBRARY_PATH";
    return {finding};
  }
  const Version version(*cublas->version);
  finding.found = *cublas->version;
  if (is_affected && version.is_too_short_to_tell(first_sound)) {
    finding.verdict = Verdict::unknown;
    finding.fix = "ls -l " + cublas->path.value_or("/usr/local/cuda/lib64") + "*";
  } else if (is_affected && version < first_sound) {
    finding.verdict = Verdict::unfit;
  } else {
    finding.fix.clear();
  }
  return {finding};
}

Findings check_nccl(const Case& subject) {
  if (subject.gpus < 2) return {};
  struct Feature {
    const char* name;
    Version since;
  };
  static const std::array<Feature, 4> features{{{"shrink", {2, 27, 3}},
                                                {"windows", {2, 27, 3}},
                                                {"native all-to-all", {2, 28, 3}},
                                                {"revoke", {2, 28, 9}}}};
  const LibraryFacts* const nccl = subject.machine.library("nccl");
  Finding finding{
      .check = "NCCL",
      .found = {},
      .wanted = "2.28.9 or newer",
      .fix = install(nccl, fmt::format("nvidia-nccl-cu{}>=2.28.9", cuda_major(subject.machine)), "libnccl2")};
  if (nccl == nullptr || !nccl->version) {
    finding.verdict = Verdict::unfit;
    finding.found = nccl != nullptr && nccl->problem ? *nccl->problem : "none";
    finding.wanted += fmt::format(" to join {} GPUs", subject.gpus);
    return {finding};
  }
  const Version version(*nccl->version);
  std::vector<const char*> has, lacks;
  for (const auto& feature : features) (version >= feature.since ? has : lacks).push_back(feature.name);
  finding.found = has.empty() ? *nccl->version : fmt::format("{}: {}", *nccl->version, fmt::join(has, ", "));
  if (version < Version{2, 14}) {
    finding.verdict = Verdict::unfit;
    finding.wanted += ": below 2.14 a communicator cannot be told not to block";
  } else if (!lacks.empty()) {
    finding.verdict = Verdict::warning;
    finding.wanted += fmt::format(": this one lacks {}", fmt::join(lacks, ", "));
  } else {
    finding.fix.clear();
  }
  return {finding};
}

}  // namespace stepvideo::doctor
