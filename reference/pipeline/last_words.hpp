// What a process does before it ends in the middle of its work.
#pragma once
#include <algorithm>
#include <exception>
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace stepvideo::pipeline {

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
  /// Returns what there is to say, `why` first.
  static std::string speak_all(const std::string& why) {
    mutex().lock();
    std::string sentence = why;
    for (auto words = all().rbegin(); words != all().rend(); ++words) try {
        if (const std::string more = (*words)->speak_(why); !more.empty()) sentence += "; " + more;
      } catch (const std::exception&) {
        // The others are called all the same.
      }
    return sentence;
  }

 private:
  static std::recursive_mutex& mutex() {
    static auto* const one = new std::recursive_mutex;  // outlives what is destroyed at exit
    return *one;
  }
  static std::vector<LastWords*>& all() {
    static auto* const them = new std::vector<LastWords*>;
    return *them;
  }

  std::function<std::string(const std::string&)> speak_;
};

}  // namespace stepvideo::pipeline
