// Pickles as data: what one describes, without running any of it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace stepvideo::io {

/// One value of a pickle. Containers and calls refer to their parts by place in the document, so values that
/// are shared, or that contain themselves, cost nothing and need no care until somebody walks them.
struct PickleValue {
  enum class Kind : std::uint8_t {
    none,
    boolean,
    integer,
    real,
    text,
    list,
    tuple,
    dict,        ///< also collections.OrderedDict
    global,      ///< a name that the caller allows
    call,        ///< a global and its arguments, which nobody calls
    persistent,  ///< something that lies outside of the pickle
  };
  using Place = std::uint32_t;

  Kind kind = Kind::none;
  std::int64_t integer = 0;  ///< of integer; 0 or 1 of boolean
  double real = 0;
  /// Of text, a piece of the pickle; of global, "module.name".
  std::string_view text = {};
  /// list, tuple: the entries; dict: key, value, key, value, ...; call: the global, then the tuple of
  /// arguments; persistent: its id.
  std::vector<Place> parts = {};
};

/// All values of one pickle.
class Pickle {
 public:
  /// Reads a pickle of protocol 2, with the opcodes that torch.save writes. The values may refer to
  /// `allowed_globals` ("module.name") and collections.OrderedDict, and call no others; `bytes` and the
  /// names must outlive the result. Memory is a small multiple of the pickle's size, whatever numbers stand
  /// in it; no value is built by calling anything. Throws RequestError naming `source` and the byte: another
  /// protocol, global or opcode, an end in the middle, a stack or memo that does not hold what is asked for,
  /// a pickle of more than 64 MiB, 2^20 values or 64 open containers.
  static Pickle read(std::span<const std::byte> bytes, std::span<const std::string_view> allowed_globals,
                     const std::string& source);

  using Place = PickleValue::Place;
  const PickleValue& at(Place place) const { return values_[place]; }
  Place root() const { return root_; }

  /// "a dict", "a call of torch._utils._rebuild_parameter", ...: the value in a message.
  std::string describe(Place place) const;

 private:
  friend class PickleMachine;
  std::vector<PickleValue> values_;
  Place root_ = 0;
};

}  // namespace stepvideo::io
