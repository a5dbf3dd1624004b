#include "display.hpp"

#include <cstdlib>
#include <ostream>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace stepvideo {
namespace {

bool is_set(const char* name) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != 0;
}

/// Whether a byte of UTF-8 begins a character.
bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

int width_of(std::string_view text) {
  int width = 0;
  for (const char c : text) width += begins_character(c);
  return width;
}

}  // namespace

Terminal terminal_of_errors() {
  const char* const kind = std::getenv("TERM");
  if (isatty(STDERR_FILENO) != 1 || kind == nullptr || std::string_view(kind) == "dumb")
    return Terminal::none;
  return is_set("NO_COLOR") ? Terminal::plain : Terminal::full;
}

int columns_of_errors() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string cut_to_columns(const std::string& text, int columns) {
  if (columns <= 0) return text;
  int width = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (begins_character(text[i]) && ++width > columns) return text.substr(0, i);
  return text;
}

Display::Display(std::ostream& output, Terminal terminal, std::function<int()> columns, Clock::duration clock)
    : output_(output), terminal_(terminal), columns_(std::move(columns)), clock_(clock) {
  if (clock_ == Clock::duration{}) return;
  ticker_ = std::jthread([this](std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      wake_.wait_for(lock, stop, clock_, [] { return false; });
      if (!stop.stop_requested()) tick();
    }
  });
}

Display::~Display() = default;

/// Back to the line's first column, with nothing in it.
std::string Display::erased() const {
  if (terminal_ == Terminal::none) return "";
  return terminal_ == Terminal::full ? "\r\x1b[K" : "\r" + std::string(width_of(shown_), ' ') + "\r";
}

void Display::show_text(const std::string& text) {
  last_ = Clock::now();
  if (!is_terminal()) {
    output_ << text << '\n' << std::flush;
    return;
  }
  const int columns = columns_();
  const std::string cut = cut_to_columns(text, columns > 0 ? columns - 1 : 0);  // the last one would wrap
  output_ << erased() << cut << std::flush;
  shown_ = cut;
}

void Display::show(Line line) {
  const std::lock_guard lock(mutex_);
  begin_ = Clock::now();
  show_text(line(0));
  line_ = std::move(line);
}

void Display::tick() {
  constexpr int lines_apart = 60;  // where each stays
  const auto now = Clock::now();
  if (line_ && now - last_ >= (is_terminal() ? clock_ / 2 : lines_apart * clock_))
    show_text(line_(std::chrono::duration<double>(now - begin_).count()));
}

void Display::print(const std::string& text) {
  const std::lock_guard lock(mutex_);
  drawn_lines_ = 0;
  output_ << erased() << text << '\n' << std::flush;
  line_ = {};
  shown_.clear();
  last_ = Clock::now();
}

void Display::draw(const std::vector<std::string>& lines) {
  if (!can_draw()) return;
  const std::lock_guard lock(mutex_);
  std::string text = "\r";
  if (drawn_lines_ > 0) text += fmt::format("\x1b[{}A", drawn_lines_);
  text += "\x1b[J";
  for (const std::string& line : lines) text += line + "\x1b[0m\n";
  output_ << text << shown_ << std::flush;
  drawn_lines_ = lines.size();
}

void Display::leave() {
  const std::lock_guard lock(mutex_);
  if (is_terminal() && !shown_.empty()) output_ << '\n' << std::flush;
  line_ = {};
  shown_.clear();
  drawn_lines_ = 0;
}

}  // namespace stepvideo
