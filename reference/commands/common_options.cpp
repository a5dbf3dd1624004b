// The flags that commands share, and what of them goes together.
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <omp.h>

#include "commands/options.hpp"
#include "commands/values.hpp"
#include "launch/environment.hpp"
#include "pipeline/process_ranks.hpp"

namespace stepvideo::commands {
namespace {

constexpr auto machine = "Model and machine", several_ranks = "Several ranks";

/// Calls `check`; what it refuses names the flag.
template <class Check>
void name_flag(const char* flag, Check&& check) {
  try {
    check();
  } catch (const RequestError& error) {
    throw RequestError(fmt::format("{}: {}", flag, error.what()));
  }
}

}  // namespace

FlagParser& FlagParser::common() {
  return common_without_model().require("model");
}

FlagParser& FlagParser::common_without_model() {
  has_common_ = true;
  {
    const auto heading = topic(machine);
    flag("model", common_.model, "folder of the checkpoint; or of the one component that is needed");
    flag("device", device_,
         "auto, cpu or cuda; or cuda:1, or a UUID of nvidia-smi -L; auto is a GPU where a fit one is found "
         "[auto]")
        .offering({"auto", "cpu", "cuda"});
    choice("precision", precision_, {"fp32", "bf16", "fp8"},
           "fp32, bf16 or fp8; fp8 is the transformer's, bf16 with products in fp8 [bf16 on a GPU, or fp32]");
    flag("gpu-memory", gpu_memory_,
         "of the GPU's memory, what the run may take in all, as in 12GiB; weights that have no room are "
         "fetched each time they are needed [all of it]");
    on_threads();
    flag("log-file", common_.log_file, "write events there, one JSON object a line");
    toggle("quiet", common_.is_quiet, "print nothing but errors");
  }
  const auto heading = topic(several_ranks);
  flag("gpus", gpus_,
       "ranks to run on, a GPU each, or with --device cpu parts of the CPU; several by denoise, decode and "
       "generate [1]");
  return flag(
      "topology", topology_,
      "guidance=G,tensor=T,ulysses=U,ring=R[,sharding=uneven], whose product is --gpus, or auto; auto "
      "is the plan's best [auto]");
}

FlagParser& FlagParser::on_threads() {
  return flag("threads", threads_,
              "threads of the CPU; the video is the same [OMP_NUM_THREADS, or a core each]");
}

FlagParser& FlagParser::on_transformer() {
  is_on_transformer_ = true;
  const auto heading = topic(machine);
  choice("numerics", rounding_, {pipeline::exact_numerics, pipeline::release_numerics},
         "exact or release; release: a run in bf16 or fp8 rounds the time step, RoPE's angles and the first "
         "noise to bf16, as the release does; exact keeps them [exact]");
  return choice("attention", attention_, {"fp32", "bf16", "fp8"},
                "fp8: the video's attention to itself in fp8; with a run in bf16 or fp8, but in the first "
                "step and the last [as --precision, bf16 with fp8]");
}

FlagParser& FlagParser::on_ranks() {
  is_on_ranks_ = true;
  return on_processes();
}

FlagParser& FlagParser::on_processes() {
  is_on_processes_ = true;
  const auto heading = topic(several_ranks);
  flag("deadline-factor", common_.deadline_factor,
       "ranks that wait for one name it after so many times the predicted time [3]");
  flag("deadline-floor", common_.deadline_floor_seconds, "and so many seconds [5]");
  toggle("share-gpus", shares_gpus_,
         "put several ranks on one GPU where there are too few: to try a topology");
  choice("exchange", exchange_, {"auto", "copies", "nccl"},
         "between GPUs: copies or nccl; auto is copies between the GPUs of one process, and NCCL between "
         "processes [auto]");
  flag("nccl-ctas", nccl_ctas_,
       "multiprocessors that a communicator of NCCL's takes, 1 to 64 [NCCL's choice]");
  flag("nccl-buffer", nccl_buffer_,
       "NCCL_BUFFSIZE, of each of its channels, as in 1MiB [the environment's, or NCCL's 4 MiB]");
  return flag("heartbeat", heartbeat_,
              "a process of this run that gives no sign of life for so many seconds counts as stopped; 0 for "
              "never [3]");
}

FlagParser& FlagParser::on_replicas() {
  const auto heading = topic(several_ranks);
  flag("replicas", common_.replicas,
       "deal the prompts of --prompts to so many groups of ranks; they divide --gpus [1]");
  return on_ranks();
}

void FlagParser::check_threads() {
  if (!threads_) return;
  constexpr int most = 1024;
  stepvideo::require(*threads_ >= 1 && *threads_ <= most,
                     [&] { return fmt::format("--threads is {}; 1 to {} works", *threads_, most); });
  common_.threads = threads_;
  omp_set_num_threads(*threads_);
}

void FlagParser::check_common() {
  common_.device = place::parse_choice(device_);
  check_ranks();
  find_places();  // last: looking for a GPU wakes its driver
  if (gpu_memory_) common_.place = common_.place.with_budget(parse_size("--gpu-memory", *gpu_memory_));
  check_numerics();
}

void FlagParser::find_places() {
  const int ranks = common_.ranks * common_.replicas;
  place::RankPlaces wanted{.ranks = ranks, .shares_gpus = shares_gpus_};
  if (const launch::Launched launched = launch::launched(); is_on_processes_ && launched.ranks > 1)
    wanted = {.ranks = 1, .processes = launched.here, .process = launched.local, .shares_gpus = shares_gpus_};
  common_.place = place::find_places(common_.device, wanted);
  const bool is_gpu = common_.place.is_gpu();
  stepvideo::require(is_gpu || ranks == 1 || common_.device.kind == place::Choice::Kind::cpu, [&] {
    return fmt::format(
        "--gpus {} --device {}: no fit GPU was found; --device cpu works, whose ranks are parts of the CPU", ranks,
        device_);
  });
  const auto is_for_gpus = [&](bool is_given, const char* flag) {
    stepvideo::require(!is_given || (is_gpu && ranks > 1), [&] {
      return fmt::format("{} is for several ranks on GPUs, and the run has {} on {}; leave it out", flag,
                         ranks == 1 ? "one" : fmt::format("{}", ranks), is_gpu ? "a GPU" : "the CPU");
    });
  };
  is_for_gpus(shares_gpus_, "--share-gpus");
  is_for_gpus(exchange_.has_value(), "--exchange");
  is_for_gpus(nccl_ctas_.has_value(), "--nccl-ctas");
  is_for_gpus(nccl_buffer_.has_value(), "--nccl-buffer");
  if (exchange_) common_.exchange.kind = pipeline::parse_exchange(*exchange_);
  if (nccl_ctas_) {
    stepvideo::require(*nccl_ctas_ >= 1 && *nccl_ctas_ <= 64,
                       [&] { return fmt::format("--nccl-ctas is {}; 1 to 64 works", *nccl_ctas_); });
    common_.exchange.nccl_ctas = *nccl_ctas_;
  }
  if (nccl_buffer_) common_.exchange.nccl_buffer_bytes = parse_size("--nccl-buffer", *nccl_buffer_);
  stepvideo::require(
      !is_gpu || wanted.processes == 1 || common_.exchange.kind != pipeline::ExchangeOptions::Kind::copies,
      [] {
        return "--exchange copies is for GPUs of one process, and a launcher started "
               "several; nccl works";
      });
}

void FlagParser::check_numerics() {
  common_.has_precision = precision_.has_value();
  common_.has_attention = attention_.has_value();
  common_.has_numerics = rounding_.has_value();
  pipeline::Numerics& numerics = common_.numerics;
  numerics.precision = common_.place.is_gpu() ? Precision::bf16 : Precision::fp32;
  if (precision_) numerics.precision = pipeline::parse_precision(*precision_).value();
  stepvideo::require(numerics.precision != Precision::fp8 || is_on_transformer_, [&] {
    return fmt::format("--precision fp8 is for the transformer, which {} does not run; fp32 and bf16 work",
                       command_);
  });
  if (attention_) {
    const auto attention = pipeline::parse_precision(*attention_);
    const Precision rest = pipeline::without_fp8(numerics.precision);
    stepvideo::require(attention == Precision::fp8 || attention == rest, [&] {
      return fmt::format("--attention: '{}' does not go with --precision {}; {} does", *attention_,
                         to_string(numerics.precision),
                         rest == Precision::bf16 ? "bf16 or fp8" : to_string(rest));
    });
    numerics.attends_in_fp8 = attention == Precision::fp8;
  }
  numerics.rounds_as_release = rounding_ == pipeline::release_numerics;
  pipeline::require_served(numerics, common_.place, common_.ranks);
}

void FlagParser::check_ranks() {
  stepvideo::require(!gpus_ || *gpus_ >= 1,
                     [&] { return fmt::format("--gpus is {}; 1 or more works", *gpus_); });
  const int processes = is_on_processes_ ? launch::launched().ranks : 1, replicas = common_.replicas;
  stepvideo::require(replicas >= 1,
                     [&] { return fmt::format("--replicas is {}; 1 or more works", replicas); });
  if (topology_ && topology_ != "auto") {
    common_.topology = parse_topology(*topology_);
    name_flag("--topology", [&] { require_degrees_are_positive(*common_.topology); });
  }
  const long long of_each = common_.topology && processes == 1 ? common_.topology->ranks() : 1;
  const long long all =
      gpus_.value_or(processes > 1 ? processes : static_cast<int>(std::min(of_each * replicas, 1LL << 30)));
  stepvideo::require(all % replicas == 0, [&] {
    return fmt::format("--replicas {} does not divide --gpus {}; a multiple of it works", replicas, all);
  });
  common_.ranks = static_cast<int>(all / replicas);
  if (common_.topology)
    name_flag("--topology", [&] { require_topology_covers_ranks(*common_.topology, common_.ranks); });
  stepvideo::require(processes == 1 || all == processes, [&] {
    return fmt::format("--gpus {}: the launcher started {} processes, and each is a rank; --gpus {} works",
                       all, processes, processes);
  });
  if (all == 1) return;
  stepvideo::require(is_on_ranks_ || processes > 1, [&] {
    return fmt::format("--gpus {}: {} runs on one rank; leave --gpus and --topology out", all, command_);
  });
  stepvideo::require(
      common_.deadline_factor >= 0 && common_.deadline_floor_seconds > 0 && common_.deadline_factor <= 1e6 &&
          common_.deadline_floor_seconds <= 1e6,
      [&] {
        return fmt::format(
            "--deadline-factor is {} and --deadline-floor {}; 0 to 1000000 works, and more than "
            "0 for the floor",
            common_.deadline_factor, common_.deadline_floor_seconds);
      });
  if (!heartbeat_) return;
  stepvideo::require(*heartbeat_ == 0 || (*heartbeat_ >= 1 && *heartbeat_ <= 1e6), [&] {
    return fmt::format("--heartbeat is {}; 1 to 1000000 seconds work, and 0 for never", *heartbeat_);
  });
  if (pipeline::ProcessRanks* const processes = pipeline::process_ranks())
    processes->set_longest_silence(*heartbeat_);
}

}  // namespace stepvideo::commands
