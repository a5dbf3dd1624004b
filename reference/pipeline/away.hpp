// A rank that writes or draws keeps the others waiting, and is not late.
#pragma once

namespace stepvideo::pipeline {

/// While it lives, deadlines of a communicator that records do not run.
template <class C>
class Away {
 public:
  explicit Away(C& communicator) : communicator_(communicator) { set(true); }
  Away(const Away&) = delete;
  Away& operator=(const Away&) = delete;
  ~Away() { set(false); }

 private:
  void set(bool is_away) {
    if constexpr (requires { communicator_.recorder(); }) communicator_.recorder().set_away(is_away);
  }

  C& communicator_;
};

}  // namespace stepvideo::pipeline
