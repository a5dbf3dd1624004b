// A run whose ranks are processes: what this one has to do with the others.
#pragma once
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <stepvideo/comm/rank_agreement.hpp>

#include "model/config.hpp"
#include "pipeline/denoiser.hpp"
#include "pipeline/ranks.hpp"
#include "pipeline/vae_model.hpp"
#include "pipeline/weights.hpp"

namespace stepvideo::pipeline {

/// Loads a replica's transformer, or a decoder, on the first rank of a group of processes, where
/// process_ranks() is that group. Returns what does one of the run's jobs with it, and calls `meanwhile`
/// before every step. What that returns is rank 0's to read.
using LoadReplica = std::function<std::function<std::string(std::size_t job)>(
    Progress& progress, const std::function<void()>& meanwhile)>;

/// Groups of ranks in a row, of equal numbers, from rank 0 on.
struct Groups {
  int count = 1, ranks_of_each = 1;
  bool decode = false;  ///< whole videos, or else they denoise
};

/// What became of a job: why it failed, or what it returned.
struct DealtJob {
  std::exception_ptr failure = {};
  std::string result = {};
};

/// What rank 0 may ask the others for their parts of.
struct SharedModels {
  struct Transformer {
    place::Place place;  ///< of this process' rank
    Numerics numerics;
    const model::TransformerConfig& config;
    const Weights& weights;
  };
  std::optional<Transformer> transformer = {};
  LoadVaeDecoder load_decoder = {};
  LoadReplica load_replica = {}, load_video_decoder = {};
  std::function<void(Progress& progress)> encode = {};
};

/// Seconds without a sign of life after which a process counts as stopped.
inline constexpr double default_longest_silence = 3;

/// The processes of this run. Rank 0 does the run and asks the others for their part of each integration and
/// of each decode; they follow.
class ProcessRanks {
 public:
  virtual ~ProcessRanks() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  /// Called by all ranks; see stepvideo::require_same_facts.
  virtual void require_same_facts(std::span<const SharedFact> facts) = 0;
  /// Rank 0's: the others load their parts at the same time, and every denoise() is one of all.
  virtual std::unique_ptr<Denoiser::Loaded> load_transformer(const SharedModels::Transformer& transformer,
                                                             const Ranks& ranks, Progress& progress) = 0;
  /// The same of a decoder for each of `ranks.decoders` ranks; the others let go of their transformers.
  /// `progress` outlives it.
  virtual std::shared_ptr<VaeDecoderModel> load_decoder(const LoadVaeDecoder& load, const Ranks& ranks,
                                                        Progress& progress) = 0;
  /// Rank 0's: the jobs are dealt to groups, which do them at the same time; as pipeline::deal. A
  /// SharedFailure or RequestError is the job's own.
  virtual std::vector<DealtJob> deal(std::span<const std::size_t> jobs, const Groups& groups,
                                     const LoadReplica& load, Progress& progress) = 0;
  /// On all ranks, with the same video: rank 0 gets its moments. The first `ranks.decoders` encode.
  virtual void encode(const LoadVaeEncoder& load, VideoView<const float> video, LatentsView<float> mean,
                      LatentsView<float> log_variance, const Ranks& ranks, Progress& progress) = 0;
  /// The others': does what rank 0 asks for until it has ended.
  virtual void follow(const SharedModels& models, const Ranks& ranks) = 0;
  /// A process that gives no sign of life for so long counts as stopped; 0 for never.
  virtual void set_longest_silence(double seconds) = 0;
};

/// nullptr where this process is the whole run.
ProcessRanks* process_ranks();
/// Returns those there were.
ProcessRanks* set_process_ranks(ProcessRanks* ranks);

/// Calls `command`, on all processes that a launcher started for this run, with process_ranks() between them.
/// What stops one of them stops all, and every process throws its reason; of a rank other than 0 an
/// ExitCode where rank 0 says the same. A rank that stalls or is stopped is named, and the others end it.
/// Throws RequestError where mpirun started several and this program finds no MPI, Error or RankLost where
/// they do not meet.
void on_processes(const std::function<void()>& command);

}  // namespace stepvideo::pipeline
