// The cost of one request on one topology: memory by phase, seconds, bytes on the wire.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <stepvideo/core/shape.hpp>
#include <stepvideo/core/topology.hpp>

#include "plan/hardware.hpp"
#include "plan/model_work.hpp"

namespace stepvideo::plan {

/// What is to be run, and on what.
struct Request {
  VideoShape video{.frames = 204, .height = 544, .width = 992};
  int steps = 50;
  Arithmetic arithmetic = Arithmetic::bf16;
  /// Of the video's attention to itself; without it the same.
  std::optional<Arithmetic> attention = {};
  ModelShapes shapes = {};
  Hardware hardware = {};
  Link link = {};
  bool streams_weights = false;  ///< keep weights in host memory and fetch each layer as it is needed
  bool encodes_text = true, decodes = true;                ///< or the transformer's phase alone
  std::optional<model::vae::MemoryLimit> vae_memory = {};  ///< of a decoded chunk; without it the usual one
  bool is_guided = true;  ///< there is a negative prompt for ranks of their own
  /// Attained over predicted rate, from a measured run; 1 where nothing was measured.
  double calibration = 1;

  Arithmetic attends() const { return attention.value_or(arithmetic); }
};

/// One phase on the rank that needs the most; on a host, whose ranks share its memory, on all of them. Phases
/// follow one another; each frees what the one before held.
struct PhaseCost {
  std::string name;  ///< "text encoders", "denoise", "decode"
  double weight_bytes = 0, activation_bytes = 0, buffer_bytes = 0;
  double seconds = 0;
  double flops = 0;  ///< of all ranks together, in the whole phase
  int ranks = 1;     ///< that work in it
  int turns = 1;     ///< that each of them has, one after the other: chunks that it decodes
  bool has_memory_for_more_ranks = true;

  double bytes() const { return weight_bytes + activation_bytes + buffer_bytes; }
};

/// One kind of collective within a step.
struct CollectiveCost {
  std::string op;              ///< "all-to-all of q, k, v", ...
  int ranks = 1;               ///< that take part
  long long calls = 0;         ///< a step
  double bytes = 0;            ///< that one rank sends in one call
  double seconds = 0;          ///< of one call
  double exposed_seconds = 0;  ///< of one call, after what computation hides
  double deadline_seconds = 0;
};

struct Cost {
  Topology topology;
  bool streams_weights = false;
  std::vector<PhaseCost> phases = {};
  std::vector<CollectiveCost> collectives = {};
  double step_seconds = 0;
  double compute_seconds = 0;  ///< of a step, on the busiest rank
  double exposed_seconds = 0;  ///< of a step: collectives that nothing hides
  double stream_seconds = 0;   ///< of a step: weights on their way that nothing hides
  double total_seconds = 0;
  double denoise_factor = 1;  ///< what calibrate() scaled the steps by; step_seconds are the plan's own
  double wire_bytes = 0;      ///< that one rank sends in a step
  double imbalance = 0;       ///< busiest rank's computation over the mean, minus 1

  /// The phase that decides how much memory is needed.
  const PhaseCost& peak_phase() const;
  double peak_bytes() const { return peak_phase().bytes(); }
  /// nullptr when the request does without it.
  const PhaseCost* phase(const std::string& name) const;
};

/// The time after which a collective counts as lost: `deadline_factor` times what it and the computation
/// before it are predicted to take, plus `deadline_floor_seconds`.
inline constexpr double deadline_factor = 3, deadline_floor_seconds = 5;

/// Costs of one request on several topologies, and of requests that differ from it in size, steps or
/// residency only: what depends on the model alone is counted once.
class CostModel {
 public:
  /// Throws RequestError when the device lacks the precision.
  explicit CostModel(Request request);

  const Request& request() const { return request_; }
  const ParameterCounts& parameters() const { return parameters_; }
  /// The same model and device for another size, residency or number of steps.
  CostModel with(VideoShape video, bool streams_weights) const;

  /// Chunks dealt to `ranks` ranks, or, on a host, to as many of them as its memory holds decoders for.
  PhaseCost decode_phase(int ranks) const;

  /// What some phase holds on every topology: a device with less cannot run the request.
  double least_bytes() const;
  /// Throws RequestError when the topology breaks a rule (see rule_against()).
  Cost operator()(Topology topology) const;

 private:
  PhaseCost text_phase() const;

  Request request_;
  ParameterCounts parameters_;
  Work text_work_;
};

/// The rule that forbids the topology for this model and size, as one sentence, or an empty string.
std::string rule_against(const Request& request, Topology topology);

Cost cost_of(const Request& request, Topology topology);

}  // namespace stepvideo::plan
