#include "io/pickle.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/pickle_opcodes.hpp"

namespace stepvideo::io {

using Kind = PickleValue::Kind;
using Place = PickleValue::Place;

namespace {

constexpr std::size_t most_bytes = std::size_t{64} << 20, most_values = std::size_t{1} << 20, most_marks = 64;
constexpr std::string_view ordered_dict = "collections.OrderedDict";
constexpr Place no_place = std::numeric_limits<Place>::max();

std::string opcode_name(std::uint8_t code) {
  const auto row = std::ranges::find(pickle_opcodes, code, &PickleOpcode::code);
  return row != pickle_opcodes.end() ? std::string(row->name) : fmt::format("0x{:02x}", code);
}

}  // namespace

/// Python's stack machine, less everything that could run.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, std::span<const std::string_view> allowed,
                const std::string& source)
      : bytes_(bytes), allowed_(allowed), source_(source) {}

  Pickle run() {
    require(bytes_.size() <= most_bytes, [&] {
      return fmt::format("{} takes {} bytes; pickles of at most {} can be read", source_, bytes_.size(),
                         most_bytes);
    });
    require(bytes_.size() >= 2 && bytes_[0] == std::byte{0x80},
            [&] { return source_ + " is no pickle of protocol 2, which torch.save writes"; });
    while (!is_done_) {
      opcode_at_ = position_;
      opcode_ = number<std::uint8_t>();
      step();
    }
    if (position_ != bytes_.size())
      refuse(fmt::format("is followed by {} bytes; nothing may follow it", bytes_.size() - position_));
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw RequestError(
        fmt::format("{}: opcode {} at byte {} {}", source_, opcode_name(opcode_), opcode_at_, why));
  }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.size() - position_)
      refuse(fmt::format("needs {} bytes where {} are left; the file is damaged or cut", count,
                         bytes_.size() - position_));
    const auto taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += taken.size();
    return taken;
  }
  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view text(std::uint64_t count) {
    const auto taken = take(count);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_,
                                bytes_.size() - position_);
    const auto end = rest.find('\n');
    if (end == rest.npos) refuse("has no end of line; the file is damaged or cut");
    position_ += end + 1;
    return rest.substr(0, end);
  }

  void push(PickleValue value) {
    if (pickle_.values_.size() == most_values)
      refuse(fmt::format("is one value too many; pickles of at most {} can be read", most_values));
    stack_.push_back(static_cast<Place>(pickle_.values_.size()));
    pickle_.values_.push_back(std::move(value));
  }
  void push_again(Place place) {
    if (stack_.size() >= most_values)
      refuse(fmt::format("is one entry too many on the stack; at most {} can be read", most_values));
    stack_.push_back(place);
  }
  void push_integer(std::int64_t value) { push({.kind = Kind::integer, .integer = value}); }
  void push_container(Kind kind, std::vector<Place> parts = {}) {
    push({.kind = kind, .parts = std::move(parts)});
  }
  /// How many entries lie above the last mark.
  std::size_t height() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  Place top() const {
    if (height() == 0) refuse("finds nothing on the stack");
    return stack_.back();
  }
  Place pop() {
    const Place place = top();
    stack_.pop_back();
    return place;
  }
  std::vector<Place> pop_entries(std::size_t count) {
    if (height() < count) refuse(fmt::format("needs {} values where {} are on the stack", count, height()));
    const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<Place> entries(first, stack_.end());
    stack_.erase(first, stack_.end());
    return entries;
  }
  std::vector<Place> pop_to_mark() {
    if (marks_.empty()) refuse("finds no mark on the stack");
    auto entries = pop_entries(height());
    marks_.pop_back();
    return entries;
  }

  void put(std::size_t place) {
    if (place >= most_values)
      refuse(fmt::format("puts into place {} of the memo; {} places can be used", place, most_values));
    if (memo_.size() <= place) memo_.resize(place + 1, no_place);
    memo_[place] = top();
  }
  void get(std::size_t place) {
    if (place >= memo_.size() || memo_[place] == no_place)
      refuse(fmt::format("asks for place {} of the memo, where nothing was put", place));
    push_again(memo_[place]);
  }

  void extend(Kind kind, const std::vector<Place>& entries) {
    PickleValue& target = pickle_.values_[top()];
    if (target.kind != kind)
      refuse(fmt::format("adds to {}, which is no {}", pickle_.describe(top()),
                         kind == Kind::dict ? "dict" : "list"));
    if (kind == Kind::dict && entries.size() % 2 != 0) refuse("has a key without a value");
    target.parts.insert(target.parts.end(), entries.begin(), entries.end());
  }

  void global() {
    const std::string_view module = line(), name = line();
    const std::string full = fmt::format("{}.{}", module, name);
    const auto allowed = std::ranges::find(allowed_, full);
    if (allowed == allowed_.end() && full != ordered_dict)
      refuse(fmt::format("asks for {}; tensors, storages and plain values are read, and nothing is run",
                         in_quotes(full.substr(0, 200))));
    push({.kind = Kind::global, .text = allowed != allowed_.end() ? *allowed : ordered_dict});
  }
  void reduce() {
    const auto call = pop_entries(2);
    const PickleValue &function = pickle_.at(call[0]), &arguments = pickle_.at(call[1]);
    if (function.kind != Kind::global)
      refuse("calls " + pickle_.describe(call[0]) + ", which is no function");
    if (arguments.kind != Kind::tuple)
      refuse(fmt::format("calls {} with {}; a tuple of arguments is due", function.text,
                         pickle_.describe(call[1])));
    if (function.text != ordered_dict) return push_container(Kind::call, call);
    if (!arguments.parts.empty()) refuse("calls collections.OrderedDict with arguments; none can be read");
    push_container(Kind::dict);
  }
  /// A state dict carries the versions of its modules as attributes, which say nothing about the tensors.
  void build() {
    pop();
    if (pickle_.at(top()).kind != Kind::dict)
      refuse(fmt::format("gives attributes to {}; only dicts may have some", pickle_.describe(top())));
  }
  void long_integer() {
    const auto digits = take(number<std::uint8_t>());
    if (digits.size() > sizeof(std::int64_t)) refuse("holds an integer of more than 64 bits");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < digits.size(); ++i)
      value |= std::to_integer<std::uint64_t>(digits[i]) << (8 * i);
    if (const std::size_t bits = 8 * digits.size(); bits > 0 && bits < 64 && (value >> (bits - 1)) != 0)
      value |= ~std::uint64_t{0} << bits;
    push_integer(static_cast<std::int64_t>(value));
  }
  void stop() {
    if (!marks_.empty() || stack_.size() != 1) refuse("leaves more or less than one value");
    pickle_.root_ = stack_.front();
    is_done_ = true;
  }

  void step();

  std::span<const std::byte> bytes_;
  std::span<const std::string_view> allowed_;
  const std::string& source_;
  std::size_t position_ = 0, opcode_at_ = 0;
  std::uint8_t opcode_ = 0;
  bool is_done_ = false;
  Pickle pickle_;
  std::vector<Place> stack_, memo_;
  std::vector<std::size_t> marks_;  // stack heights
};

void PickleMachine::step() {
  switch (opcode_) {
    case 0x80:  // PROTO
      if (const int protocol = number<std::uint8_t>(); protocol != 2)
        refuse(fmt::format("announces protocol {}; 2, which torch.save writes, can be read", protocol));
      return;
    case '.':
      return stop();
    case '(':
      if (marks_.size() == most_marks)
        refuse(fmt::format("opens container number {} within one another; at most {} can be read",
                           most_marks + 1, most_marks));
      return marks_.push_back(stack_.size());

    case 'N':
      return push({});
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      return push({.kind = Kind::boolean, .integer = opcode_ == 0x88});
    case 'J':
      return push_integer(number<std::int32_t>());
    case 'K':
      return push_integer(number<std::uint8_t>());
    case 'M':
      return push_integer(number<std::uint16_t>());
    case 0x8a:  // LONG1
      return long_integer();
    case 'G':
      return push(
          {.kind = Kind::real, .real = std::bit_cast<double>(__builtin_bswap64(number<std::uint64_t>()))});
    case 'X':
      return push({.kind = Kind::text, .text = text(number<std::uint32_t>())});
    case 'U':
      return push({.kind = Kind::text, .text = text(number<std::uint8_t>())});

    case ']':
      return push_container(Kind::list);
    case 'a':
      return extend(Kind::list, pop_entries(1));
    case 'e':
      return extend(Kind::list, pop_to_mark());
    case ')':
      return push_container(Kind::tuple);
    case 't':
      return push_container(Kind::tuple, pop_to_mark());
    case 0x85:  // TUPLE1
    case 0x86:  // TUPLE2
    case 0x87:  // TUPLE3
      return push_container(Kind::tuple, pop_entries(opcode_ - 0x84u));
    case '}':
      return push_container(Kind::dict);
    case 's':
      return extend(Kind::dict, pop_entries(2));
    case 'u':
      return extend(Kind::dict, pop_to_mark());

    case 'q':
      return put(number<std::uint8_t>());
    case 'r':
      return put(number<std::uint32_t>());
    case 'h':
      return get(number<std::uint8_t>());
    case 'j':
      return get(number<std::uint32_t>());

    case 'c':
      return global();
    case 'R':
      return reduce();
    case 'b':
      return build();
    case 'Q':
      return push_container(Kind::persistent, {pop()});
    default:
      refuse("is none of those that a file of tensors needs; nothing in a pickle is run");
  }
}

Pickle Pickle::read(std::span<const std::byte> bytes, std::span<const std::string_view> allowed_globals,
                    const std::string& source) {
  return PickleMachine(bytes, allowed_globals, source).run();
}

}  // namespace stepvideo::io
