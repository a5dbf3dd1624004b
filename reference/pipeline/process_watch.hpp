// Who keeps processes waiting: what they tell each other beside the collectives.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <stepvideo/comm/rank_wire.hpp>
#include <stepvideo/comm/watchdog.hpp>

namespace stepvideo::pipeline {

/// A rank keeps the others waiting beyond a deadline.
class RankLate : public RankLost {
 public:
  RankLate(int rank, const std::string& message, bool is_found_here)
      : RankLost(message), rank_(rank), is_found_here_(is_found_here) {}
  /// -1 where none could be told.
  int rank() const { return rank_; }
  /// Or told by the rank that found it.
  bool is_found_here() const { return is_found_here_; }

 private:
  int rank_;
  bool is_found_here_;
};

/// One rank's part in finding it. A rank that waits answers others' questions meanwhile: whom it waits for.
/// One that does not answer is the late one, at work or stopped; or one that waits for its own GPU, which has
/// not come to what the others' are in.
class ProcessWatch {
 public:
  /// Both outlive this.
  ProcessWatch(RankWire& wire, const FlightRecorder& recorder) : wire_(wire), recorder_(recorder) {}

  /// For ProcessMessages::set_while_waiting. Throws RankLate when the flight that this rank is in is over its
  /// deadline, or another found out who is late.
  void look(std::span<const int> others) {
    if (is_queued_)
      waits_for_ = gpu_waits_for_;
    else
      waits_for_.assign(others.begin(), others.end());
    take_notes();
    throw_verdict();
    const auto now = FlightClock::now();
    if (now - looked_ < interval) return;
    // Only time in which this rank looked counts.
    const auto passed = std::min<FlightClock::duration>(now - looked_, 2 * interval);
    looked_ = now;
    const auto flights = recorder_.flights();
    const auto open = open_flight(flights);
    note_whom_the_gpu_waits_for(open);
    if (!open || open->number != flight_) {
      flight_ = open ? open->number : -1, waited_ = {};
      return;
    }
    // Nor does time in which a rank is away. A process that is stopped then is the heartbeat's to find.
    if (away_.empty()) waited_ += passed;
    if (open->deadline != FlightClock::duration{} && waited_ >= open->deadline)
      name_the_late(*open, is_queued_ ? gpu_waits_for_ : waits_for_);
  }

  /// From here on this rank writes or draws, for as long as that takes; or it is back.
  void tell_away(bool is_away) { tell_all({.kind = is_away ? Note::away : Note::back}); }

  /// What to say where a rank is lost: with where this rank is, and what the lost one did last.
  std::string sentence_of(const Losses::Loss& loss) const {
    std::string text = fmt::format("rank {} {}", loss.rank, loss.why);
    const auto flights = recorder_.flights();
    if (const auto open = open_flight(flights))
      text += fmt::format("; rank {} waits in {} since {}", wire_.rank(), watchdog_detail::flight_text(*open),
                          watchdog_detail::seconds(FlightClock::now() - open->begin()));
    return text + last_with(loss.rank);
  }

  /// Goes on answering until something `is_over`, for a time at most.
  template <class IsOver>
  void answer_until(IsOver&& is_over, FlightClock::duration time) {
    for (const auto begin = FlightClock::now(); FlightClock::now() - begin < time && !is_over();) {
      take_notes();
      wire_.pause();
    }
  }

 private:
  static constexpr auto interval = std::chrono::milliseconds(50);
  static constexpr auto patience = std::chrono::milliseconds(1500);

  /// Instead of a rank: the sender waits for none.
  static constexpr int nobody = -1;

  struct Note {
    enum Kind : int { ask, answer, away, back, verdict } kind = ask;
    int rank = nobody;  ///< that the sender waits for; the late one
    char text[504] = {};
  };

  /// The others of a collective that it has entered; itself where it has not come there.
  void note_whom_the_gpu_waits_for(const std::optional<Flight>& open) {
    gpu_waits_for_.clear();
    is_queued_ = open && open->is_queued;
    if (!is_queued_) return;
    if (!open->entered) gpu_waits_for_.push_back(wire_.rank());
    for (int member = 0; open->entered && member < open->group.size; ++member)
      if (open->group.rank(member) != wire_.rank()) gpu_waits_for_.push_back(open->group.rank(member));
  }

  void tell(int rank, const Note& note) {
    wire_.post(rank, RankWire::Channel::notes, std::as_bytes(std::span(&note, 1)));
  }
  void tell_all(const Note& note) {
    for (int rank = 0; rank < wire_.ranks(); ++rank)
      if (rank != wire_.rank()) tell(rank, note);
  }

  void take_notes() {
    for (int from = 0; from < wire_.ranks(); ++from)
      while (from != wire_.rank()) {
        const auto message = wire_.take(from, RankWire::Channel::notes);
        if (!message || message->size() != sizeof(Note)) break;
        Note note;
        std::memcpy(&note, message->data(), sizeof note);
        note.text[sizeof note.text - 1] = 0;
        take_note(from, note);
      }
  }
  void take_note(int from, const Note& note) {
    switch (note.kind) {
      case Note::ask:
        tell(from, {.kind = Note::answer, .rank = waits_for_.empty() ? nobody : waits_for_.front()});
        break;
      case Note::answer:
        answers_[from] = note.rank;
        break;
      case Note::away:
        away_.insert(from);
        break;
      case Note::back:
        away_.erase(from);
        break;
      case Note::verdict:
        verdict_.emplace(note.rank, note.text, false);
        break;
    }
  }

  void throw_verdict() const {
    if (verdict_) throw *verdict_;
  }

  /// Whom the rank waits for, where it answers.
  std::optional<int> ask(int rank) {
    answers_.erase(rank);
    tell(rank, {.kind = Note::ask});
    for (const auto begin = FlightClock::now();
         FlightClock::now() - begin < patience && !wire_.is_gone(rank);) {
      take_notes();
      throw_verdict();
      if (const auto answer = answers_.find(rank); answer != answers_.end()) return answer->second;
      if (away_.contains(rank)) return nobody;
      wire_.pause();
    }
    return {};
  }

  /// Throws where nobody whom this rank waits for is away.
  void name_the_late(const Flight& flight, std::vector<int> suspects) {
    std::set<int> asked{wire_.rank()};
    const bool waits_for_itself = suspects == std::vector<int>{wire_.rank()};
    int late = waits_for_itself ? wire_.rank() : nobody;
    while (!suspects.empty() && late < 0) {
      const int rank = suspects.back();
      suspects.pop_back();
      if (rank < 0 || !asked.insert(rank).second) continue;
      const auto next = ask(rank);
      if (away_.contains(rank)) {
        waited_ = {};
        return;
      }
      if (next && *next != rank)
        suspects.push_back(*next);
      else
        late = rank;
    }
    using watchdog_detail::flight_text, watchdog_detail::seconds;
    const auto now = FlightClock::now();
    std::string text =
        late < 0 ? fmt::format("{} has not ended {} after it was called, and all of its ranks wait in it",
                               flight_text(flight), seconds(now - flight.begin()))
                 : fmt::format("rank {} is late: rank {} waits in {} since {}", late, wire_.rank(),
                               flight_text(flight), seconds(now - flight.begin()));
    if (waits_for_itself)
      text = fmt::format("rank {} is late: its GPU has not come to {}, which was called {} ago", late,
                         flight_text(flight), seconds(now - flight.enqueued));
    if (late >= 0) text += last_with(late);
    Note note{.kind = Note::verdict, .rank = late};
    std::strncpy(note.text, text.c_str(), sizeof note.text - 1);
    tell_all(note);
    throw RankLate(late, text, true);
  }

  /// What this rank and another did together last.
  std::string last_with(int rank) const {
    using watchdog_detail::flight_text, watchdog_detail::seconds;
    const auto flights = recorder_.flights();
    const auto last = std::find_if(flights.rbegin(), flights.rend(), [&](const Flight& other) {
      return other.ended && other.group.contains(rank);
    });
    if (last == flights.rend()) return {};
    return fmt::format("; the last collective that it ended with it, {}, ended {} ago", flight_text(*last),
                       seconds(FlightClock::now() - *last->ended));
  }

  RankWire& wire_;
  const FlightRecorder& recorder_;
  FlightClock::time_point looked_ = FlightClock::now();
  FlightClock::duration waited_{};
  long long flight_ = -1;
  std::vector<int> waits_for_;
  bool is_queued_ = false;  ///< the flight that it is in
  std::vector<int> gpu_waits_for_;
  std::map<int, int> answers_;  ///< by rank: whom it waits for
  std::set<int> away_;
  std::optional<RankLate> verdict_;  ///< of another rank
};

}  // namespace stepvideo::pipeline
