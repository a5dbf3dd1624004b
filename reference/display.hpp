// Lines for somebody who watches a run. On a terminal the last one changes in place.
#pragma once
#include <chrono>
#include <condition_variable>
#include <functional>
#include <iosfwd>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace stepvideo {

/// What the reader's end can show.
enum class Terminal {
  none,   ///< a file, a pipe, TERM=dumb: lines alone
  plain,  ///< NO_COLOR: a line is written over, and nothing needs an escape
  full,
};
/// Of standard error.
Terminal terminal_of_errors();
/// Its columns now; 0 where nobody knows.
int columns_of_errors();

/// The beginning of `text` that takes `columns` columns at most; 0 columns are any number.
std::string cut_to_columns(const std::string& text, int columns);

/// Any thread may call it.
class Display {
 public:
  using Clock = std::chrono::steady_clock;
  /// A line's text that many seconds after it was shown.
  using Line = std::function<std::string(double later)>;

  /// `columns` is asked before a line is written over. With a `clock` the last line is shown again that often
  /// where nothing else is, away from a terminal 60 times more rarely; `output` outlives this.
  Display(std::ostream& output, Terminal terminal, std::function<int()> columns = columns_of_errors,
          Clock::duration clock = {});
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;
  ~Display();

  bool is_terminal() const { return terminal_ != Terminal::none; }
  /// Whether draw() has a terminal to draw on.
  bool can_draw() const { return terminal_ == Terminal::full; }

  /// On a terminal the line that the next one replaces; elsewhere a line like any other.
  void show(Line line);
  /// A line that stays.
  void print(const std::string& text);
  /// Puts lines above the one that is shown, over those that were drawn last.
  void draw(const std::vector<std::string>& lines);
  /// What is shown stays, and the next line stands below.
  void leave();

 private:
  void show_text(const std::string& text);
  std::string erased() const;
  void tick();

  std::ostream& output_;
  Terminal terminal_;
  std::function<int()> columns_;
  Clock::duration clock_;
  std::mutex mutex_;
  Line line_;
  std::string shown_;
  std::size_t drawn_lines_ = 0;  // right above the shown line
  Clock::time_point begin_, last_ = Clock::now();
  std::condition_variable_any wake_;
  std::jthread ticker_;  // last: it uses the others
};

}  // namespace stepvideo
