#include "io/torch_archive.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <stepvideo/core/error.hpp>

#include "io/json.hpp"
#include "io/pickle.hpp"
#include "io/zip_directory.hpp"

namespace stepvideo::io {
namespace {

using Kind = PickleValue::Kind;
using Place = PickleValue::Place;

constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2",
                           rebuild_parameter = "torch._utils._rebuild_parameter";

constexpr std::array<std::pair<std::string_view, Dtype>, 10> storages{
    {{"torch.DoubleStorage", Dtype::f64},
     {"torch.FloatStorage", Dtype::f32},
     {"torch.HalfStorage", Dtype::f16},
     {"torch.BFloat16Storage", Dtype::bf16},
     {"torch.LongStorage", Dtype::i64},
     {"torch.IntStorage", Dtype::i32},
     {"torch.ShortStorage", Dtype::i16},
     {"torch.CharStorage", Dtype::i8},
     {"torch.ByteStorage", Dtype::u8},
     {"torch.BoolStorage", Dtype::boolean}}};

constexpr auto allowed_globals = [] {
  std::array<std::string_view, storages.size() + 2> names{rebuild_tensor, rebuild_parameter};
  for (std::size_t i = 0; i < storages.size(); ++i) names[i + 2] = storages[i].first;
  return names;
}();

struct Storage {
  Dtype dtype;
  std::int64_t elements;
  std::span<const std::byte> bytes;
};

/// Whether the strides are those of elements in a row; where an extent is 1 the stride does not matter.
bool is_row_major(const Shape& shape, const Shape& strides) {
  std::int64_t due = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] != 1 && strides[axis] != due) return false;
    due *= shape[axis];
  }
  return true;
}

class TensorCollector {
 public:
  TensorCollector(const ZipDirectory& entries, std::string_view prefix, const Pickle& pickle,
                  std::uint64_t most_visits, std::size_t most_name_bytes, const std::string& source)
      : entries_(entries),
        prefix_(prefix),
        pickle_(pickle),
        most_visits_(most_visits),
        most_name_bytes_(most_name_bytes),
        source_(source) {}

  std::map<std::string, StoredTensor> collect() {
    Place root = pickle_.root();
    if (pickle_.at(root).kind != Kind::dict)
      refuse("holds " + pickle_.describe(root) + "; a dict of tensors (a state dict) can be read");
    if (const Place inner = find_state_dict(root); inner != root) root = inner;
    enter(root, "", 0);
    if (tensors_.empty()) refuse("holds no tensors");
    return std::move(tensors_);
  }

 private:
  static constexpr int deepest = 64;

  [[noreturn]] void refuse(const std::string& why) const {
    throw RequestError(fmt::format("{} {}", source_, why));
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& why) const {
    refuse(fmt::format("cannot be read: tensor {} {}", in_quotes(name), why));
  }

  Place find_state_dict(Place root) const {
    Place found = root;
    const auto& parts = pickle_.at(root).parts;
    for (std::size_t i = 0; i + 1 < parts.size(); i += 2) {
      const PickleValue &key = pickle_.at(parts[i]), &value = pickle_.at(parts[i + 1]);
      if (value.kind == Kind::call) return root;
      if (value.kind == Kind::dict && key.kind == Kind::text && key.text == "state_dict")
        found = parts[i + 1];
    }
    return found;
  }

  /// Enters a dict, list or tuple, and takes a tensor.
  void enter(Place place, const std::string& name, int depth) {
    const PickleValue& value = pickle_.at(place);
    if (++visits_ > most_visits_) refuse("describes more values than a file of tensors can need");
    if (depth > deepest) refuse(fmt::format("nests deeper than {} levels", deepest));
    if (value.kind == Kind::dict) {
      for (std::size_t i = 0; i + 1 < value.parts.size(); i += 2)
        enter(value.parts[i + 1], joined(name, key_text(value.parts[i])), depth + 1);
    } else if (value.kind == Kind::list || value.kind == Kind::tuple) {
      for (std::size_t i = 0; i < value.parts.size(); ++i)
        enter(value.parts[i], joined(name, std::to_string(i)), depth + 1);
    } else if (value.kind == Kind::call) {
      add(name, tensor(place, name));
    } else if (value.kind == Kind::persistent) {
      const Storage stored = storage(place, name);
      add(name, {stored.dtype, {stored.elements}, {}, stored.bytes});
    }
  }
  std::string key_text(Place key) const {
    const PickleValue& value = pickle_.at(key);
    if (value.kind == Kind::integer) return std::to_string(value.integer);
    if (value.kind != Kind::text)
      refuse("has " + pickle_.describe(key) + " as a key; texts and numbers work");
    return std::string(value.text);
  }
  std::string joined(const std::string& name, const std::string& key) const {
    constexpr std::size_t longest = 1024;
    if (name.size() + key.size() > longest)
      refuse(fmt::format("has a name of more than {} bytes: {}...", longest, in_quotes(key.substr(0, 80))));
    return name.empty() ? key : name + "." + key;
  }
  void add(const std::string& name, StoredTensor tensor) {
    name_bytes_ += name.size();
    if (name_bytes_ > most_name_bytes_) refuse("has names that take more than the file itself");
    if (!tensors_.emplace(name, std::move(tensor)).second) refuse(name, "is there twice; names must differ");
  }

  /// What a call would have made: a tensor, or a parameter, which is one.
  StoredTensor tensor(Place place, const std::string& name) const {
    const PickleValue& call = pickle_.at(place);
    const std::string_view function = pickle_.at(call.parts[0]).text;
    const std::vector<Place>* arguments = &pickle_.at(call.parts[1]).parts;
    if (function == rebuild_parameter) {
      if (arguments->empty() || !is_tensor_call(arguments->front()))
        refuse(name, "is a parameter without a tensor");
      arguments = &pickle_.at(pickle_.at(arguments->front()).parts[1]).parts;
    } else if (function != rebuild_tensor) {
      refuse(name, fmt::format("is made by {}, which is no function", function));
    }
    if (arguments->size() < 4)
      refuse(name, fmt::format("is described by {} values; storage, offset, size and stride are due",
                               arguments->size()));
    // Of the rest only what changes no value: whether it learns, and hooks. Behind them stand marks like
    // "neg".
    constexpr std::size_t understood = 6;
    for (std::size_t i = understood; i < arguments->size(); ++i) {
      const PickleValue& more = pickle_.at((*arguments)[i]);
      if (more.kind != Kind::none && !(more.kind == Kind::dict && more.parts.empty()))
        refuse(name, fmt::format("is described by {} as well, which this reader does not know; save it with "
                                 ".clone()",
                                 pickle_.describe((*arguments)[i])));
    }
    return view(storage((*arguments)[0], name), integer((*arguments)[1], name),
                integers((*arguments)[2], name), integers((*arguments)[3], name), name);
  }
  bool is_tensor_call(Place place) const {
    const PickleValue& value = pickle_.at(place);
    return value.kind == Kind::call && pickle_.at(value.parts[0]).text == rebuild_tensor;
  }
  std::int64_t integer(Place place, const std::string& name) const {
    const PickleValue& value = pickle_.at(place);
    if (value.kind != Kind::integer || value.integer < 0)
      refuse(name, fmt::format("has {} where a number from 0 on is due", pickle_.describe(place)));
    return value.integer;
  }
  Shape integers(Place place, const std::string& name) const {
    constexpr std::size_t most_axes = 64;
    const PickleValue& value = pickle_.at(place);
    if (value.kind != Kind::tuple || value.parts.size() > most_axes)
      refuse(name, fmt::format("has {} where a tuple of at most {} numbers is due", pickle_.describe(place),
                               most_axes));
    Shape all;
    for (const Place part : value.parts) all.push_back(integer(part, name));
    return all;
  }

  /// ("storage", its type, its key in the archive, the device it was on, its elements)
  Storage storage(Place place, const std::string& name) const {
    const PickleValue& reference = pickle_.at(place);
    const auto fail = [&] {
      refuse(name, "has " + pickle_.describe(place) + " where a storage of known type is due");
    };
    if (reference.kind != Kind::persistent) fail();
    const PickleValue& id = pickle_.at(reference.parts[0]);
    if (id.kind != Kind::tuple || id.parts.size() < 5 || pickle_.at(id.parts[0]).text != "storage" ||
        pickle_.at(id.parts[1]).kind != Kind::global || pickle_.at(id.parts[2]).kind != Kind::text)
      fail();
    const auto type =
        std::ranges::find(storages, pickle_.at(id.parts[1]).text, &decltype(storages)::value_type::first);
    if (type == storages.end()) fail();
    if (id.parts.size() > 6 || (id.parts.size() == 6 && pickle_.at(id.parts[5]).kind != Kind::none))
      refuse(name, "is a view of a storage that PyTorch wrote before version 1.6; save it again");
    const std::string_view key = pickle_.at(id.parts[2]).text;
    const std::int64_t elements = integer(id.parts[4], name);
    const auto entry = entries_.find(fmt::format("{}data/{}", prefix_, key));
    if (entry == entries_.end())
      refuse(name, fmt::format("lies in storage {}, which is not in the archive", in_quotes(key)));
    const auto bytes = tensor_bytes(type->second, {elements});
    if (!bytes || *bytes > entry->second.size())
      refuse(name,
             fmt::format("lies in storage {} of {} elements of {}, and the archive holds {} bytes of it",
                         in_quotes(key), elements, dtype_name(type->second), entry->second.size()));
    return {type->second, elements, entry->second.first(static_cast<std::size_t>(*bytes))};
  }

  StoredTensor view(const Storage& storage, std::int64_t offset, Shape shape, Shape strides,
                    const std::string& name) const {
    const auto bytes = tensor_bytes(storage.dtype, shape);
    std::int64_t end = offset;  // one behind the last element
    bool is_sound = bytes.has_value() && shape.size() == strides.size() && offset <= storage.elements;
    if (is_sound && *bytes > 0) {
      for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        std::int64_t reach = 0;
        is_sound = is_sound && !__builtin_mul_overflow(shape[axis] - 1, strides[axis], &reach) &&
                   !__builtin_add_overflow(end, reach, &end);
      }
      is_sound = is_sound && end < storage.elements;
    }
    if (!is_sound)
      refuse(name,
             fmt::format("of shape {} and strides {} from element {} on reaches out of its storage of {}",
                         to_string(shape), to_string(strides), offset, storage.elements));
    const auto rest = storage.bytes.subspan(static_cast<std::size_t>(offset) * dtype_bytes(storage.dtype));
    if (*bytes == 0 || is_row_major(shape, strides))
      return {storage.dtype, std::move(shape), {}, rest.first(static_cast<std::size_t>(*bytes))};
    return {storage.dtype, std::move(shape), std::move(strides), rest};
  }

  const ZipDirectory& entries_;
  std::string_view prefix_;
  const Pickle& pickle_;
  std::uint64_t most_visits_;
  std::size_t most_name_bytes_, name_bytes_ = 0;
  const std::string& source_;
  std::uint64_t visits_ = 0;
  std::map<std::string, StoredTensor> tensors_;
};

bool starts_with(std::span<const std::byte> file, std::string_view magic) {
  return file.size() >= magic.size() && std::memcmp(file.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

bool is_torch_archive(std::span<const std::byte> file) {
  constexpr std::size_t header_begin = 8;  // of a safetensors file, whose header begins with a brace
  return starts_with(file, "PK\3\4") && (file.size() <= header_begin || file[header_begin] != std::byte{'{'});
}

void refuse_old_torch_file(std::span<const std::byte> file, const std::string& source) {
  constexpr std::string_view old_magic = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  require(!starts_with(file, old_magic), [&] {
    return source +
           " is in the format that PyTorch wrote before version 1.6; load it with PyTorch and torch.save it "
           "again";
  });
}

std::map<std::string, StoredTensor> read_torch_archive(std::span<const std::byte> archive,
                                                       const std::string& source) {
  constexpr std::string_view pickle_name = "data.pkl", little = "little";
  const ZipDirectory entries = read_zip_directory(archive, source);
  const auto is_pickle = [&](const ZipDirectory::value_type& entry) {
    const std::string_view name = entry.first;
    return name == pickle_name || (name.ends_with("/data.pkl") && name.find('/') == name.rfind('/'));
  };
  const auto found = std::ranges::find_if(entries, is_pickle);
  require(std::ranges::count_if(entries, is_pickle) == 1, [&] {
    return source + " is a zip archive without one NAME/data.pkl; a file that torch.save wrote can be read";
  });
  const std::string_view name = found->first, prefix = name.substr(0, name.size() - pickle_name.size());
  if (const auto order = entries.find(fmt::format("{}byteorder", prefix)); order != entries.end())
    require(order->second.size() == little.size() && starts_with(order->second, little), [&] {
      return source + " holds big-endian numbers; torch.save it again on a little-endian machine";
    });
  const Pickle pickle = Pickle::read(found->second, allowed_globals, source + " (its data.pkl)");
  // A pickle of k values can describe a tree of 2^k; in a checkpoint each takes some bytes, however it is
  // shared.
  const std::uint64_t most_visits =
      std::clamp<std::uint64_t>(found->second.size(), 1024, std::uint64_t{1} << 21);
  return TensorCollector(entries, prefix, pickle, most_visits, archive.size(), source).collect();
}

}  // namespace stepvideo::io
