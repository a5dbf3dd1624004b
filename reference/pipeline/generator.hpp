// Prompts become videos: one, or a batch that loads each component once.
#pragma once
#include <exception>
#include <filesystem>
#include <optional>
#include <vector>

#include "pipeline/denoiser.hpp"
#include "pipeline/job.hpp"
#include "pipeline/process_ranks.hpp"
#include "pipeline/prompt_encoder.hpp"
#include "pipeline/step_file.hpp"
#include "pipeline/video_codec.hpp"

namespace stepvideo::pipeline {

/// How a run guards its work and what it tells.
struct RunOptions {
  place::Place place = {};                      ///< of the models
  Ranks ranks = {};                             ///< that share the transformer
  int replicas = 1;                             ///< of those ranks, among which the jobs are dealt
  std::optional<std::size_t> spare_bytes = {};  ///< see Integration
  std::optional<int> keep_every = {};           ///< steps between two step files; as StepKeeper
  bool keeps_latents = false;                   ///< leave the final latents beside each output
  bool tells_cost = true;                       ///< put what the stages took into the manifests
  CodecSettings vae = {};                       ///< of the decodes
  io::VideoOptions video = {};                  ///< of the outputs; run() adds the manifest
  StepObserver observer = {};                   ///< sees every step
  std::function<void()> before_step = {};       ///< called, where there is one, before every step
  /// Called, where there is one, on the process of the jobs, when an output is there and its job has its
  /// latents.
  std::function<void(const Job&)> when_made = {};
};

class Generator {
 public:
  /// Opens every component of a model and checks every tensor; loads no weights. Throws
  /// RequestError naming what is missing or wrong.
  explicit Generator(const ModelSource& model);

  /// Throws RequestError when this model cannot make that video, or --output cannot hold it so.
  void require_possible(const Request& request, const std::filesystem::path& output,
                        const io::VideoOptions& options = {}) const;

  const VideoCodec& codec() const { return codec_; }
  const PromptEncoder& encoder() const { return encoder_; }
  /// Of the transformer.
  const model::TransformerConfig& config() const { return denoiser_.config(); }
  /// Where ranks are processes, what those other than 0 have parts of and do. All of it outlives that.
  SharedModels shared(const std::vector<Job>& jobs, const RunOptions& options) const;

  /// What making it needs on the disk at least: step files, and the output where that is not compressed.
  double disk_bytes(const Request& request, const std::filesystem::path& output) const;

  /// Takes over what the job's step file holds. Throws RequestError naming the file and what differs when it
  /// is of another run.
  void resume(Job& job, const RunOptions& options) const;

  /// Makes the videos of all jobs that are not done: encodes all prompts, then denoises all, then decodes
  /// all; a component's weights are in memory during its turn alone, latents and text states of all jobs
  /// throughout (35 MB a job at 204 frames of 992x544). What fails for one job is put into its `failure`, and
  /// the others go on. Keeps step files as StepKeeper does and removes each when its output is there. Throws
  /// Interrupted, saying how to go on, and what loading throws.
  void run(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const;
  /// The same up to the latents, which stay in the jobs, as their step files do beside their outputs.
  void make_latents(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const;

 private:
  void encode(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const;
  void denoise(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const;
  void denoise_on_replicas(const std::vector<Job*>& due, const RunOptions& options, Progress& progress) const;
  void denoise_on_processes(const std::vector<Job>& jobs, std::vector<Job*> due, const RunOptions& options,
                            Progress& progress) const;
  LoadReplica replica(const std::vector<Job>& jobs, const RunOptions& options) const;
  LoadReplica video_decoder(const std::vector<Job>& jobs, const RunOptions& options) const;
  /// Whole videos on a rank each take fewer turns than each video on all of them.
  static bool decodes_whole_videos(const std::vector<Job*>& due, const RunOptions& options);
  void decode_on_processes(const std::vector<Job>& jobs, const std::vector<Job*>& due,
                           const RunOptions& options, Progress& progress) const;
  void start_from_noise(Job& job) const;
  void denoise_one(Denoiser::Loaded& transformer, Job& job, const RunOptions& options,
                   Progress& progress) const;
  void decode(std::vector<Job>& jobs, const RunOptions& options, Progress& progress) const;
  void decode_one(VideoCodec::Decoder& decoder, Job& job, const RunOptions& options,
                  Progress& progress) const;
  /// What is left when the output is there: the latents, where they are to be kept, and no step file.
  static void clear_away(Job& job, const RunOptions& options);

  ModelSource model_;
  PromptEncoder encoder_;
  Denoiser denoiser_;
  VideoCodec codec_;
};

}  // namespace stepvideo::pipeline
