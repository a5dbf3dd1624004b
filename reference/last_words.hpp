// What a process does before it ends in the middle of its work.
#pragma once
#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace stepvideo {

/// While it lives, `speak(why)` is called where another thread, or this one, ends the process without coming
/// back. It returns what is said of the work, or nothing.
class LastWords {
 public:
  explicit LastWords(std::function<std::string(const std::string& why)> speak) : speak_(std::move(speak)) {
    const std::lock_guard lock(mutex());
    all().push_back(this);
  }
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
  /// Does not return where the process is ending.
  ~LastWords() {
    const std::lock_guard lock(mutex());
    std::erase(all(), this);
  }

  /// Of all that live, the latest first. From here on the process ends; a second caller waits for that.
  /// Returns what there is to say, `why` first, once each; nothing where the run has ended by itself.
  static std::string speak_all(const std::string& why) {
    mutex().lock();
    if (is_over()) {
      mutex().unlock();
      return "";
    }
    std::vector<std::string> said{why};
    for (auto words = all().rbegin(); words != all().rend(); ++words) try {
        std::string more = (*words)->speak_(why);
        if (!more.empty() && std::ranges::find(said, more) == said.end()) said.push_back(std::move(more));
      } catch (const std::exception&) {
        // The others are called all the same.
      }
    std::string sentence = said.front();
    for (std::size_t i = 1; i < said.size(); ++i) sentence += "; " + said[i];
    return sentence;
  }
  /// The run has ended by itself: nobody ends it from outside any more. Does not return where that has begun.
  static void run_is_over() {
    const std::lock_guard lock(mutex());
    is_over() = true;
  }

 private:
  static std::recursive_mutex& mutex() {
    static auto* const one = new std::recursive_mutex;  // outlives what is destroyed at exit
    return *one;
  }
  static bool& is_over() {
    static bool over = false;
    return over;
  }
  static std::vector<LastWords*>& all() {
    static auto* const them = new std::vector<LastWords*>;
    return *them;
  }

  std::function<std::string(const std::string&)> speak_;
};

}  // namespace stepvideo
