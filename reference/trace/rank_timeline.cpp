#include "trace/rank_timeline.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "trace/stage_places.hpp"

namespace stepvideo::trace {
namespace {

std::string place_of(const LoggedEvent& event) {
  std::string text;
  if (event.step) text += fmt::format(", step {}", *event.step);
  if (event.layer) text += fmt::format(", layer {}", *event.layer);
  return text;
}

std::string describe(const LoggedEvent& event) {
  const std::string op = event.op ? *event.op + " in " : "";
  switch (event.kind) {
    case Event::Kind::begin:
      return fmt::format("begin of {}stage {}{}", op, event.stage, place_of(event));
    case Event::Kind::end:
      return fmt::format("end of {}stage {}{}", op, event.stage, place_of(event));
    case Event::Kind::step:
      return fmt::format("step {} of stage {}", event.step.value_or(0), event.stage);
    case Event::Kind::collective:
      return fmt::format("end of {} in stage {}{}", event.op.value_or("a collective"), event.stage,
                         place_of(event));
    case Event::Kind::warning:
      return "a warning in stage " + event.stage;
    case Event::Kind::error:
      break;
  }
  return "an error in stage " + event.stage;
}

class TimelineBuilder {
 public:
  explicit TimelineBuilder(int rank) { timeline_.last.rank = rank; }

  void add(const LoggedEvent& event) {
    switch (event.kind) {
      case Event::Kind::begin:
        if (event.op) {
          enter(event);
        } else {
          begin(event);
        }
        break;
      case Event::Kind::end:
        if (event.op) {
          timeline_.last.entered.reset();
        } else {
          close(event, false);
        }
        break;
      case Event::Kind::step:
        step(event);
        break;
      case Event::Kind::collective:
        stage(event);
        ++collectives_;
        timeline_.last.entered.reset();
        break;
      case Event::Kind::warning:
      case Event::Kind::error:
        note(event);
        break;
    }
    timeline_.last.time = event.time;
    timeline_.last.text = describe(event);
  }

  RankTimeline finish() && {
    LastEvent& last = timeline_.last;
    last.position = {stages_begun_, steps_, collectives_, entered_};
    for (StageOnRank& stage : timeline_.stages) {
      if (!stage.is_open) continue;
      stage.seconds += last.time - stage.begin;
      last.open_stage = stage.name;
      if (last.entered) stage.waited_seconds += last.time - entered_time_;
    }
    return std::move(timeline_);
  }

 private:
  /// The stage of the event; a log that lost its beginning still has its steps and ends.
  StageOnRank& stage(const LoggedEvent& event) {
    const auto [at, is_new] = places_.try_emplace(event.stage, timeline_.stages.size());
    if (!is_new) return timeline_.stages[at->second];
    ++stages_begun_;
    return timeline_.stages.emplace_back(StageOnRank{
        .name = event.stage, .rank = timeline_.last.rank, .begin = event.time - event.seconds.value_or(0)});
  }

  void begin(const LoggedEvent& event) {
    if (places_.contains(event.stage)) ++stages_begun_;  // stage() counts new ones
    StageOnRank& begun = stage(event);
    steps_ = collectives_ = entered_ = 0;
    begun.begin = event.time;
    begun.is_open = true;
    pending_prediction_ = event.predicted_seconds;
  }

  void enter(const LoggedEvent& event) {
    ++entered_;
    entered_time_ = event.time;
    timeline_.last.entered = fmt::format("{} in stage {}{}", *event.op, event.stage, place_of(event));
  }

  void step(const LoggedEvent& event) {
    StageOnRank& stepped = stage(event);
    ++steps_;
    collectives_ = entered_ = 0;
    if (event.seconds) stepped.steps.push_back(*event.seconds);
    if (event.predicted_seconds) step_predictions_ += *event.predicted_seconds;
  }

  void close(const LoggedEvent& event, bool has_failed) {
    StageOnRank& closed = stage(event);
    closed.seconds += event.seconds.value_or(closed.is_open ? event.time - closed.begin : 0);
    closed.is_open = false;
    closed.has_failed = closed.has_failed || has_failed;
    if (has_failed && !event.predicted_seconds) pending_prediction_.reset();  // it did not do all its work
    auto predicted = event.predicted_seconds ? event.predicted_seconds : pending_prediction_;
    if (!predicted && step_predictions_ > 0) predicted = step_predictions_;
    if (predicted) closed.predicted_seconds = closed.predicted_seconds.value_or(0) + *predicted;
    pending_prediction_.reset();
    step_predictions_ = 0;
    if (event.cpu_seconds) closed.cpu_seconds = closed.cpu_seconds.value_or(0) + *event.cpu_seconds;
    closed.involuntary_switches += event.involuntary_switches.value_or(0);
    closed.bytes += event.bytes.value_or(0);
    closed.peak_bytes = std::max(closed.peak_bytes, event.peak_bytes.value_or(0));
  }

  void note(const LoggedEvent& event) {
    const bool is_error = event.kind == Event::Kind::error;
    timeline_.messages.push_back(
        {timeline_.last.rank, event.time, is_error, event.stage, event.message.value_or("(no message)")});
    const StageOnRank* const stage = find_stage(timeline_.stages, places_, event.stage);
    if (is_error && stage != nullptr && stage->is_open) close(event, true);
  }

  RankTimeline timeline_;
  StagePlaces places_;  // of timeline_.stages
  int stages_begun_ = 0, steps_ = 0, collectives_ = 0, entered_ = 0;
  std::optional<double> pending_prediction_;
  double step_predictions_ = 0, entered_time_ = 0;
};

}  // namespace

RankTimeline timeline_of(const RankLog& log) {
  TimelineBuilder builder(log.rank);
  for (const LoggedEvent& event : log.events) builder.add(event);
  RankTimeline timeline = std::move(builder).finish();
  timeline.last.is_cut_line = log.is_cut;
  return timeline;
}

}  // namespace stepvideo::trace
