#include "pipeline/ranks.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stepvideo::pipeline {

ExchangeOptions::Kind parse_exchange(std::string_view text) {
  using Kind = ExchangeOptions::Kind;
  if (text == "auto") return Kind::automatic;
  if (text == "copies") return Kind::copies;
  if (text == "nccl") return Kind::nccl;
  throw RequestError(
      fmt::format("--exchange: '{}' is not a way for GPUs to exchange; auto, copies and nccl are", text));
}

std::filesystem::path replica_log_file_of(const std::filesystem::path& given, int replica) {
  if (replica == 0) return given;
  return given.parent_path() /
         fmt::format("{}.replica{}{}", given.stem().string(), replica, given.extension().string());
}

Progress rank_progress(const Ranks& ranks, int rank, bool shares_process) {
  Progress progress(
      {.is_quiet = true,
       .log_file = ranks.log_file ? std::optional(log_file_of(*ranks.log_file, rank)) : std::nullopt,
       .rank = rank,
       .ranks = static_cast<int>(ranks.topology.ranks()),
       .measures_peak = !shares_process});
  progress.describe(ranks.facts);
  return progress;
}

Progress& RankLogs::of(const Ranks& ranks, int rank) {
  const std::lock_guard lock(mutex_);
  const auto there = by_rank_.find(rank);
  return there != by_rank_.end() ? there->second
                                 : by_rank_.emplace(rank, rank_progress(ranks, rank, true)).first->second;
}

FlightClock::duration RankDeadline::operator()(std::string_view op, const Group&, std::size_t bytes) const {
  const auto now = FlightClock::now();
  if (const int step = recorder_->step(); step != step_) {
    if (step_ >= 0)
      slowest_seconds_ = std::max(slowest_seconds_, std::chrono::duration<double>(now - step_begin_).count());
    step_ = step, step_begin_ = now;
    ++steps_;
  }
  // What is exchanged once a step, velocities and words of agreement, waits for whole steps.
  const bool is_of_layer = op == "all_to_all" || op == "shift" || op == "reduce_scatter" ||
                           (op == "all_reduce" && bytes > sizeof(int));
  const double step_seconds = std::max(deadlines_.step_seconds, slowest_seconds_);
  const double seconds =
      (deadlines_.factor * step_seconds / (is_of_layer ? deadlines_.layers : 1) + deadlines_.floor_seconds) *
      (steps_ <= 1 ? first_step_factor : 1);
  return std::chrono::duration_cast<FlightClock::duration>(std::chrono::duration<double>(seconds));
}

void FlightLog::write(Progress& progress, bool is_over) {
  const std::lock_guard lock(mutex_);
  for (const Flight& flight : recorder_->flights()) {
    if (flight.number < next_ || (!flight.ended && !is_over)) continue;
    next_ = flight.number + 1;
    Event event{.kind = flight.ended ? Event::Kind::collective : Event::Kind::begin,
                .stage = stage_,
                .op = std::string(flight.op),
                .group = to_string(flight.group),
                .bytes = flight.bytes,
                .at = flight.ended.value_or(flight.enqueued)};
    if (flight.step >= 0) event.step = flight.step;
    if (flight.layer > 0) event.layer = flight.layer;
    if (flight.ended) event.seconds = std::chrono::duration<double>(*flight.ended - flight.begin()).count();
    progress.log(event);
  }
}

}  // namespace stepvideo::pipeline
