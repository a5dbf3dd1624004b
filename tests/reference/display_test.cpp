#define BOOST_TEST_MODULE display
#include "display.hpp"

#include <sstream>

#include <boost/test/unit_test.hpp>

using namespace stepvideo;

namespace {

constexpr const char* step = "denoise: step 3 of 50, 12.00 s, about 3 min 08 s left";

struct Shown {
  std::ostringstream text;
  int columns = 0;

  Display display(Terminal terminal, Display::Clock::duration clock = {}) {
    return Display(
        text, terminal, [this] { return columns; }, clock);
  }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_line_is_cut_between_characters) {
  BOOST_CHECK_EQUAL(cut_to_columns("abc", 3), "abc");
  BOOST_CHECK_EQUAL(cut_to_columns("abc", 2), "ab");
  BOOST_CHECK_EQUAL(cut_to_columns("a\u2580\u2580", 2), "a\u2580");
  BOOST_CHECK_EQUAL(cut_to_columns("abc", 0), "abc");
}

BOOST_FIXTURE_TEST_CASE(a_narrow_pane_shows_the_beginning_and_follows_its_size, Shown) {
  auto display = this->display(Terminal::full);
  columns = 20;
  display.show([](double) { return step; });
  BOOST_CHECK_EQUAL(text.str(), "\r\x1b[Kdenoise: step 3 of ");
  text.str("");
  columns = 11;
  display.show([](double) { return step; });
  BOOST_CHECK_EQUAL(text.str(), "\r\x1b[Kdenoise: s");
}

BOOST_FIXTURE_TEST_CASE(without_colour_there_is_no_escape_and_the_line_still_changes_in_place, Shown) {
  auto display = this->display(Terminal::plain);
  display.show([](double) { return "twelve bytes"; });
  display.show([](double) { return "two"; });
  display.print("done");
  display.draw({"a picture"});
  BOOST_CHECK_EQUAL(text.str(), "\r\rtwelve bytes\r            \rtwo\r   \rdone\n");
}

BOOST_FIXTURE_TEST_CASE(away_from_a_terminal_every_text_is_a_line, Shown) {
  auto display = this->display(Terminal::none);
  columns = 5;
  display.show([](double) { return step; });
  display.draw({"a picture"});
  display.leave();
  display.print("done");
  BOOST_CHECK_EQUAL(text.str(), std::string(step) + "\ndone\n");
}

BOOST_FIXTURE_TEST_CASE(a_clock_shows_the_time_of_a_line_that_stays, Shown) {
  std::atomic<int> asked = 0;
  std::atomic<double> latest = 0;
  {
    auto display = this->display(Terminal::full, std::chrono::milliseconds(20));
    display.show([&](double later) {
      ++asked;
      latest = later;
      return later > 0 ? "later" : "now";
    });
    for (int wait = 0; wait < 500 && asked < 3; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  BOOST_CHECK_GE(asked, 3);
  BOOST_CHECK_GT(latest, 0.02);
  BOOST_CHECK_EQUAL(text.str().find("\r\x1b[Know\r\x1b[Klater"), 0u);
}
