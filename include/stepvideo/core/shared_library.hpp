// A library that is there or not, and its functions.
#pragma once
#include <string>

#include <dlfcn.h>
#include <link.h>

#include <stepvideo/core/error.hpp>

namespace stepvideo {

/// Stays loaded: unloading a driver's library runs code of its own.
class SharedLibrary {
 public:
  /// Throws Error with the loader's reason.
  explicit SharedLibrary(const std::string& name) : handle_(dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw Error(last_error());
  }

  /// What the program and the libraries it was linked with have.
  static SharedLibrary of_process() { return SharedLibrary(dlopen(nullptr, RTLD_LAZY)); }

  /// The function, or null.
  template <class Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle_, name));
  }
  /// The function; throws Error when the library has none of this name.
  template <class Function>
  Function* get(const char* name) const {
    auto* const function = find<Function>(name);
    if (function == nullptr) throw Error(std::string("lacks ") + name);
    return function;
  }
  /// Where the loader found it; empty for of_process().
  std::string path() const {
    const link_map* map = nullptr;
    return dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr ? map->l_name : "";
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}

  static std::string last_error() {
    const char* const reason = dlerror();
    return reason != nullptr ? reason : "cannot be loaded";
  }

  void* handle_;
};

}  // namespace stepvideo
